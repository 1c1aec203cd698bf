"""Real hand poses as right hands, and their bend angles, to compare the simulator's poses with."""

from __future__ import annotations

import numpy as np
from scipy.io import loadmat

from handsynth.hand.joints import BASES, CHAINS, WRIST, permutation
from handsynth.simulator.anatomy import typical_anatomy
from handsynth.simulator.kinematics import FRAMES
from tests.formats.samples import real

_LONG_THEN_THUMB = [
    "wrist",
    *(f"{finger}_{part}" for finger in ("index", "middle", "ring", "pinky") for part in ("mcp", "pip", "dip", "tip")),
    *(f"thumb_{part}" for part in ("cmc", "mcp", "ip", "tip")),
]
_CORNERS = np.array([WRIST, *BASES[1:]])


def ge_realworld_mm() -> np.ndarray:
    """(340, 21, 3) mm, mirrored to right hands."""
    joints = loadmat(real("ge_realworld") / "pose_gt.mat")["pose_gt"].reshape(-1, 21, 3) * 10.0
    return np.asarray(joints * [-1, 1, 1])


def msra14_mm() -> np.ndarray:
    """(280, 21, 3) mm, right hands in OpenCV axes."""
    rows = np.loadtxt(real("msra14") / "joint.txt", skiprows=1)
    joints = rows.reshape(-1, 21, 3)[:, permutation(_LONG_THEN_THUMB)]
    return np.asarray(joints * [1, -1, -1])


def icvl_mm() -> np.ndarray:
    """(1596, 16, 3) mm: palm, then root, middle and tip of thumb to little finger."""
    return _lifted(real("icvl") / "icvl_test_groundtruth_label.txt", 16, (240.99, 240.96, 160.0, 120.0))


def nyu_mm() -> np.ndarray:
    """(8252, 14, 3) mm: tip and middle of little finger to index; tip, middle, root of the thumb; two wrists, palm."""
    return _lifted(real("nyu") / "nyu_test_groundtruth_label.txt", 14, (588.03, 587.07, 320.0, 240.0))


def _lifted(path: object, points: int, camera: tuple[float, float, float, float]) -> np.ndarray:
    u, v, d = np.moveaxis(np.loadtxt(str(path)).reshape(-1, points, 3), -1, 0)
    fx, fy, cx, cy = camera
    return np.stack([(u - cx) * d / fx, (v - cy) * d / fy, d], axis=-1)


def in_hand_frame(joints_mm: np.ndarray) -> np.ndarray:
    """(N, 21, 3) right hands moved into the hand frame: wrist and knuckles laid on those of the mean hand (Kabsch)."""
    reference = np.concatenate([np.zeros((1, 3)), typical_anatomy().bases_mm[0, 1:]])
    palm = joints_mm[:, _CORNERS]
    scale = np.linalg.norm(palm[:, 2] - palm[:, 0], axis=-1) / np.linalg.norm(reference[2])
    centre, goal = palm.mean(1, keepdims=True), reference.mean(0)
    u, _, vt = np.linalg.svd((palm - centre).swapaxes(-1, -2) @ (reference - goal))
    flip = np.ones((len(palm), 3))
    flip[:, 2] = np.sign(np.linalg.det(u @ vt))
    return np.asarray((joints_mm - centre) @ (u * flip[:, None]) @ vt + goal * scale[:, None, None])


def bend_angles(joints_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Angles (N, 5, 4) of right hands (N, 21, 3) by the joints' own places, and how far bones leave the plane of their
    finger (N, 5, 2), radians: exact inverse of the forward kinematics where fingers are planar."""
    chains = in_hand_frame(joints_mm)[:, np.array(CHAINS)]
    bones = np.diff(chains, axis=2) @ FRAMES
    bones /= np.linalg.norm(bones, axis=-1, keepdims=True)
    # A finger bends in one plane: its trace in the plane of the palm is the main direction of the bones' shadows.
    xx, yy, xy = (np.einsum("nfb,nfb->nf", bones[..., i], bones[..., j]) for i, j in ((0, 0), (1, 1), (0, 1)))
    deviation = np.arctan2(2 * xy, yy - xx) / 2
    # The thumb's metacarpal stays in view of its own frame, and real thumbs leave the plane.
    deviation[:, 0] = np.arctan2(bones[:, 0, 0, 0], bones[:, 0, 0, 1])
    c, s = np.cos(deviation)[..., None], np.sin(deviation)[..., None]
    ahead, aside = c * bones[..., 1] + s * bones[..., 0], c * bones[..., 0] - s * bones[..., 1]
    total = np.arctan2(bones[..., 2], ahead)
    flexion = np.diff(np.concatenate([np.zeros_like(deviation)[..., None], total], axis=-1), axis=-1)
    flexion = (flexion + np.pi) % (2 * np.pi) - np.pi
    return np.concatenate([deviation[..., None], flexion], axis=-1), np.arcsin(np.clip(aside[..., 1:], -1, 1))
