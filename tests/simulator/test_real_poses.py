from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from handsynth.hand.camera import Camera
from handsynth.hand.joints import BASES, CHAINS, TIPS, WRIST
from handsynth.poseindex.identity import identity
from handsynth.poseindex.neighbours import NeighbourIndex
from handsynth.runtime.seeds import rng
from handsynth.simulator.anatomy import typical_anatomy
from handsynth.simulator.kinematics import joints_mm, random_poses
from handsynth.simulator.limits import LIMITS
from handsynth.simulator.orientation import random_rotations
from handsynth.simulator.synergies import natural_angles
from tests.simulator.real_poses import bend_angles, ge_realworld_mm, icvl_mm, in_hand_frame, msra14_mm, nyu_mm

POSES = {"ge_realworld": ge_realworld_mm, "msra14": msra14_mm}
SIMULATED = 5000
CAMERA = Camera(600.0, 600.0, 320.0, 240.0, 640, 480)


def tip_distances(joints: np.ndarray) -> np.ndarray:
    """(N, 5) mm from a palm point to the tips, thumb to little finger."""
    palm = (joints[:, WRIST] + joints[:, BASES[1:]].mean(1)) / 2
    return np.asarray(np.linalg.norm(joints[:, TIPS] - palm[:, None], axis=-1))


def bone_directions(joints: np.ndarray) -> np.ndarray:
    bones = np.diff(in_hand_frame(joints)[:, np.array(CHAINS)], axis=2)
    bones /= np.linalg.norm(bones, axis=-1, keepdims=True)
    return np.asarray(bones.reshape(len(joints), -1))


def test_bend_angles_invert_the_forward_kinematics() -> None:
    angles = natural_angles(rng(0), 200)
    joints = joints_mm(typical_anatomy().repeated(200), angles) @ random_rotations(rng(1), 200).swapaxes(-1, -2)
    found, off_plane = bend_angles(np.add(joints, [1, 2, 400]))
    assert np.abs(found - angles).max() < np.deg2rad(0.5)  # the closed form is loose for a finger curled into itself
    assert off_plane.max() < np.deg2rad(0.5)


@pytest.mark.parametrize("name", sorted(POSES))
def test_what_real_hands_do_is_within_the_limits(name: str) -> None:
    angles, _ = bend_angles(POSES[name]())
    slack = np.deg2rad(3)
    inside = ((angles >= LIMITS[..., 0] - slack) & (angles <= LIMITS[..., 1] + slack)).mean(0)
    assert inside.mean() > 0.98
    assert inside.min() > 0.8


@pytest.mark.parametrize(
    ("name", "identity_bound", "degrees_bound"), [("ge_realworld", 0.014, 19), ("msra14", 0.017, 20)]
)
def test_real_poses_have_simulated_ones_nearby(name: str, identity_bound: float, degrees_bound: float) -> None:
    real, poses = POSES[name](), random_poses(rng(2), SIMULATED)
    placed = real - real.mean(1, keepdims=True) + [0, 0, 450]
    index = NeighbourIndex(identity(poses, CAMERA.project(poses)))
    _, distance = index.query(identity(placed, CAMERA.project(placed)))
    assert np.median(distance) < identity_bound
    chord, _ = cKDTree(bone_directions(poses)).query(bone_directions(real))
    assert np.rad2deg(np.median(chord) / np.sqrt(15)) < degrees_bound  # per bone, root mean square


def test_fingertips_of_depth_datasets_are_reached() -> None:
    index = NeighbourIndex(tip_distances(random_poses(rng(3), SIMULATED)))
    icvl, nyu = icvl_mm(), nyu_mm()
    for joints, tips, palm in ((icvl, [3, 6, 9, 12, 15], 0), (nyu, [8, 6, 4, 2, 0], 13)):
        _, distance = index.query(np.linalg.norm(joints[:, tips] - joints[:, [palm]], axis=-1))
        assert np.median(distance) < 0.008
        assert np.percentile(distance, 95) < 0.025
