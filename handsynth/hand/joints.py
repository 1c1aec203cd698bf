"""The 21 joints of a hand, by name. This file alone knows the canonical order.

Order: wrist, then thumb, index, middle, ring, pinky, each from the palm outwards (FreiHAND, OpenPose, MediaPipe).
A format states its source's joint names in the source's order; the permutation is computed here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FINGERS = ("thumb", "index", "middle", "ring", "pinky")
_SEGMENTS = dict.fromkeys(FINGERS, ("mcp", "pip", "dip", "tip")) | {"thumb": ("cmc", "mcp", "ip", "tip")}

JOINTS: tuple[str, ...] = ("wrist", *(f"{finger}_{part}" for finger in FINGERS for part in _SEGMENTS[finger]))
"""Names of the J = 21 joints in canonical order."""

J = len(JOINTS)
INDEX: dict[str, int] = {name: i for i, name in enumerate(JOINTS)}
WRIST = INDEX["wrist"]
MIDDLE_MCP = INDEX["middle_mcp"]
MIDDLE_PIP = INDEX["middle_pip"]

CHAINS: tuple[tuple[int, ...], ...] = tuple(
    tuple(INDEX[f"{finger}_{part}"] for part in _SEGMENTS[finger]) for finger in FINGERS
)
"""Per finger, its four joints from the palm outwards."""

TIPS: tuple[int, ...] = tuple(chain[-1] for chain in CHAINS)
BASES: tuple[int, ...] = tuple(chain[0] for chain in CHAINS)
PALM: tuple[int, ...] = (WRIST, *BASES)
"""Corners of the palm polygon: wrist and the five finger bases."""

PARENTS: tuple[int, ...] = (
    -1,
    *(WRIST if position == 0 else chain[position - 1] for chain in CHAINS for position in range(4)),
)
"""Parent of each joint; -1 for the wrist."""

BONES: tuple[tuple[int, int], ...] = tuple((PARENTS[child], child) for child in range(1, J))
"""The 20 bones as (parent, child), ordered by child."""

PHALANGES: tuple[tuple[int, int], ...] = tuple(bone for bone in BONES if bone[0] != WRIST)
"""The 15 bones beyond the palm, thumb to pinky, base to tip; phalanx ``i`` has mask code ``i + 3``."""

# Mask codes of design.md section 4.
BACKGROUND, HAND, PALM_PART, FIRST_PHALANX, OTHER_BODY = 0, 1, 2, 3, 18


def permutation(source: Sequence[str | None]) -> np.ndarray:
    """Gather list from a source's joint names: ``canonical[i] = source[permutation[i]]``.

    Args:
        source: the source's joint names in the source's order, in canonical words; ``None`` or a name outside
            ``JOINTS`` (a palm centre, say) is a point that has no place among the 21.

    Returns:
        (21,) int64; -1 where the source lacks the joint.

    Raises:
        ValueError: a joint is named twice.
    """
    place: dict[str, int] = {}
    for position, name in enumerate(source):
        if name in INDEX:
            if name in place:
                raise ValueError(f"joint {name!r} is named twice, at {place[name]} and {position}")
            place[name] = position
    return np.array([place.get(name, -1) for name in JOINTS], dtype=np.int64)


def gather(points: np.ndarray, order: np.ndarray, fill: float = np.nan) -> np.ndarray:
    """Bring points (..., M, D) into canonical order (..., 21, D); joints the source lacks get ``fill``."""
    out = np.asarray(points)[..., np.maximum(order, 0), :]
    missing = order < 0
    if missing.any():
        out = out.copy()
        out[..., missing, :] = fill
    return out


def scatter(points: np.ndarray, order: np.ndarray, count: int, fill: float = np.nan) -> np.ndarray:
    """Inverse of :func:`gather`: canonical (..., 21, D) to a source's order (..., count, D), for writers."""
    points = np.asarray(points)
    out = np.full((*points.shape[:-2], count, points.shape[-1]), fill, dtype=points.dtype)
    known = order >= 0
    out[..., order[known], :] = points[..., known, :]
    return out
