from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handsynth.hand.joints import BONES, CHAINS, JOINTS, PARENTS, PHALANGES, gather, permutation, scatter


def test_canonical_order() -> None:
    assert JOINTS[0] == "wrist"
    assert JOINTS[1:5] == ("thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip")
    assert JOINTS[9] == "middle_mcp"
    assert JOINTS[20] == "pinky_tip"
    assert len(set(JOINTS)) == 21


def test_bones_form_one_tree() -> None:
    assert len(BONES) == 20
    assert len(PHALANGES) == 15
    assert PARENTS[0] == -1
    for chain in CHAINS:
        assert PARENTS[chain[0]] == 0
        assert [PARENTS[joint] for joint in chain[1:]] == list(chain[:-1])


# Source orders and gather lists of the datasets' facts, section 1.
STB = ["palm"] + [f"{f}_{p}" for f in ("pinky", "ring", "middle", "index") for p in ("mcp", "pip", "dip", "tip")]
STB += ["thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip"]
MSRA = ["wrist"] + [f"{f}_{p}" for f in ("index", "middle", "ring", "pinky") for p in ("mcp", "pip", "dip", "tip")]
MSRA += ["thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (STB, [-1, 17, 18, 19, 20, 13, 14, 15, 16, 9, 10, 11, 12, 5, 6, 7, 8, 1, 2, 3, 4]),
        (MSRA, [0, 17, 18, 19, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]),
    ],
)
def test_permutations_of_the_facts(names: list[str], expected: list[int]) -> None:
    assert permutation(names).tolist() == expected


def test_a_joint_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="named twice"):
        permutation(["wrist", "wrist"])


@given(st.permutations(JOINTS), st.integers(0, 5))
def test_gather_and_scatter_are_inverse(names: list[str], dropped: int) -> None:
    source = names[dropped:]
    order = permutation(source)
    points = np.arange(len(source) * 3, dtype=float).reshape(-1, 3)
    canonical = gather(points, order)
    assert [JOINTS[i] for i in range(21) if order[i] < 0] == [name for name in JOINTS if name in names[:dropped]]
    assert np.isnan(canonical[order < 0]).all()
    np.testing.assert_array_equal(scatter(canonical, order, len(source)), points)
