"""Geometry of 21 joints: bones, side, roots. Arrays in canonical order, camera frame, millimetres."""

from __future__ import annotations

import numpy as np

from handsynth.hand.joints import BONES, CHAINS, INDEX, MIDDLE_MCP, WRIST

_PARENT = np.array([parent for parent, _ in BONES])
_CHILD = np.array([child for _, child in BONES])


def bone_vectors(joints: np.ndarray) -> np.ndarray:
    """(..., 21, D) joints to (..., 20, D) vectors from parent to child, in the order of ``BONES``."""
    return joints[..., _CHILD, :] - joints[..., _PARENT, :]


def bone_lengths(joints: np.ndarray) -> np.ndarray:
    """(..., 21, D) joints to (..., 20) lengths, in the joints' unit."""
    return np.linalg.norm(bone_vectors(joints), axis=-1)


def palm_length(joints_mm: np.ndarray) -> np.ndarray:
    """Wrist to middle MCP (...): 50 to 130 mm for real hands, so a wrong unit shows."""
    return np.linalg.norm(joints_mm[..., MIDDLE_MCP, :] - joints_mm[..., WRIST, :], axis=-1)


def chirality(joints_mm: np.ndarray) -> np.ndarray:
    """Signed handedness (...) of (..., 21, 3) joints: positive right, negative left, near zero for straight fingers.

    For each long finger the cross products of successive unit bones, dotted with the direction from pinky MCP to
    index MCP and summed. A batch statistic: judge by the share of signs, not by one frame.
    """
    across = joints_mm[..., INDEX["index_mcp"], :] - joints_mm[..., INDEX["pinky_mcp"], :]
    across = across / np.linalg.norm(across, axis=-1, keepdims=True)
    total = np.zeros(joints_mm.shape[:-2])
    for chain in CHAINS[1:]:
        bones = np.diff(joints_mm[..., list(chain), :], axis=-2)
        bones = bones / np.linalg.norm(bones, axis=-1, keepdims=True)
        bends = np.cross(bones[..., :-1, :], bones[..., 1:, :])
        total = total + (bends * across[..., None, :]).sum((-1, -2))
    return total


def side_share(joints_mm: np.ndarray) -> float:
    """Share of right hands among (N, 21, 3) poses by the sign of :func:`chirality`; 0 all left, 1 all right."""
    return float(np.mean(chirality(joints_mm) > 0))


def wrist_from_palm(palm: np.ndarray, ring_mcp: np.ndarray) -> np.ndarray:
    """Wrist derived from a palm centre (..., D): ring MCP + 2 (palm - ring MCP), the STB convention (Hand3D)."""
    return ring_mcp + 2.0 * (palm - ring_mcp)


def palm_from_wrist(wrist: np.ndarray, ring_mcp: np.ndarray) -> np.ndarray:
    """Inverse of :func:`wrist_from_palm`."""
    return ring_mcp + 0.5 * (wrist - ring_mcp)
