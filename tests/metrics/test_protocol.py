"""Protocols: what they say, what they count, and lifting as the inverse of projection."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handsynth.errors import UsageError
from handsynth.hand.joints import INDEX
from handsynth.metrics.protocol import Protocol, counted_joints, lift, relative_depth, scale_mm
from handsynth.runtime.settings import canonical_json, convert, parse

LABELLED = np.ones((1, 21), dtype=np.uint8)


def hands(seed: int, count: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Joints in mm, their keypoints, and cameras."""
    rng = np.random.default_rng(seed)
    joints = rng.normal(size=(count, 21, 3)) * 40 + (10, -20, 450)
    camera = rng.uniform((200, 200, 100, 100), (300, 300, 150, 150), (count, 4))
    keypoints = joints[..., :2] / joints[..., 2:] * camera[:, None, :2] + camera[:, None, 2:]
    return joints, keypoints, camera


@given(seed=st.integers(0, 10_000), root=st.sampled_from(["wrist", "middle_mcp", "pinky_tip"]))
@settings(max_examples=30, deadline=None)
def test_lifting_undoes_projection(seed: int, root: str) -> None:
    joints, keypoints, camera = hands(seed)
    lifted = lift(keypoints, relative_depth(joints), camera, joints, Protocol(root=root))
    np.testing.assert_allclose(lifted, joints, atol=1e-8)


@given(seed=st.integers(0, 10_000), offset=st.floats(-5, 5))
@settings(max_examples=20, deadline=None)
def test_lifting_reads_root_depth_and_scale_of_the_truth_alone(seed: int, offset: float) -> None:
    """Nothing but the root's z and the scale bone may leak from the answer; a depth offset is taken out."""
    joints, keypoints, camera = hands(seed)
    said = relative_depth(joints)
    other = np.random.default_rng(seed + 1).normal(size=joints.shape) * 50
    other[:, INDEX["wrist"], 2] = joints[:, INDEX["wrist"], 2]
    for name in ("middle_mcp", "middle_pip"):
        other[:, INDEX[name]] = joints[:, INDEX[name]] + (7, 8, 9)
    lifted = lift(keypoints, said + offset, camera, other, Protocol())
    np.testing.assert_allclose(lifted, joints, atol=1e-7)


def test_a_hand_without_root_or_scale_lifts_to_nothing() -> None:
    joints, keypoints, camera = hands(0)
    joints = joints.copy()
    said = relative_depth(joints)
    joints[1, INDEX["wrist"]] = np.nan
    joints[2, INDEX["middle_pip"]] = np.nan
    lifted = lift(keypoints, said, camera, joints, Protocol())
    np.testing.assert_array_equal(np.isfinite(lifted).all((1, 2)), [True, False, False, True])


@pytest.mark.parametrize(
    "protocol",
    [Protocol(root_given=False), Protocol(scale_given=False), Protocol(scale_bone=("wrist", "middle_mcp"))],
)
def test_lifting_refuses_a_protocol_that_withholds_what_it_needs(protocol: Protocol) -> None:
    joints, keypoints, camera = hands(0)
    with pytest.raises(UsageError, match="middle_mcp to middle_pip"):
        lift(keypoints, relative_depth(joints), camera, joints, protocol)


def test_relative_depth_of_true_joints() -> None:
    joints, _, _ = hands(3)
    said = relative_depth(joints)
    assert (said[:, 0] == 0).all()
    np.testing.assert_allclose(said[:, 5] * scale_mm(joints, Protocol()), joints[:, 5, 2] - joints[:, 0, 2])


def test_derived_joints_count_only_where_all_do() -> None:
    joints, _, _ = hands(0, 1)
    state = LABELLED.copy()
    state[0, 0], state[0, 8] = 2, 0  # STB: the wrist is derived
    labelled = counted_joints(joints, state, Protocol())
    assert not labelled[0, 0]
    assert not labelled[0, 8]
    assert labelled.sum() == 19
    everything = counted_joints(joints, state, Protocol(joints="all"))
    assert everything[0, 0]
    assert everything.sum() == 20


@pytest.mark.parametrize(
    ("joint", "protocol", "left"),
    [
        ("wrist", Protocol(), 0),
        ("wrist", Protocol(root_given=False), 20),
        ("wrist", Protocol(root_given=False, alignment="root"), 0),
        ("middle_pip", Protocol(), 0),
        ("middle_pip", Protocol(scale_given=False), 20),
        ("thumb_tip", Protocol(), 20),
    ],
)
def test_a_hand_without_what_the_protocol_gives_does_not_count(joint: str, protocol: Protocol, left: int) -> None:
    joints, _, _ = hands(0, 1)
    joints[0, INDEX[joint]] = np.nan
    assert counted_joints(joints, LABELLED, protocol).sum() == left


def test_description_names_everything_that_changes_the_number() -> None:
    said = {
        Protocol(**change).describe()
        for change in (
            {},
            {"root": "middle_mcp"},
            {"scale_bone": ("wrist", "middle_mcp")},
            {"root_given": False},
            {"scale_given": False},
            {"root_given": False, "scale_given": False},
            {"alignment": "root"},
            {"alignment": "procrustes"},
            {"joints": "all"},
        )
    }
    assert len(said) == 9
    assert Protocol().describe() == (
        "mm, camera space, true root (wrist) and true scale (middle_mcp to middle_pip) given, no alignment, "
        "labelled joints only"
    )


def test_unknown_joint_names_and_empty_thresholds_are_refused() -> None:
    with pytest.raises(UsageError, match="found 'palm'"):
        Protocol(root="palm")
    with pytest.raises(UsageError, match="thresholds"):
        Protocol(pck_mm=(20.0, 10.0, 5))
    # Built from text, msgspec turns the error into its own; it must still be one of ours.
    with pytest.raises(UsageError, match="palm"):
        convert({"scale_bone": ["palm", "wrist"]}, Protocol, "a test")


def test_survives_writing_and_reading() -> None:
    protocol = Protocol(root="middle_mcp", alignment="procrustes")
    assert parse(canonical_json(protocol), Protocol, "a test") == protocol
