"""Where points of a posed hand lie on the same hand stretched out flat: the coordinates that its skin goes by.

Every bone carries its skin along when it moves. About its beginning a bone's skin still goes with the bone before, so
that patterns pass the joints without a seam.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from handsynth.simulator.cones import PHALANX_COUNT, Cones
from handsynth.simulator.trace import View

_CARRIED = 0.45  # of a bone's length, over which its skin goes over from the bone before
_BEFORE = np.array([PHALANX_COUNT if bone % 3 == 0 else bone - 1 for bone in range(PHALANX_COUNT)] + [PHALANX_COUNT])
"""The bone before each; palm and arm come last and before all fingers."""


@dataclass(frozen=True)
class Stretched:
    """M points of a view.

    Attributes:
        places: (M, 3) mm from the wrist on the stretched-out hand: radial, distal, palmar.
        frames: (M, 3, 3) columns: where these axes point in the camera's frame at each point.
        palmar: (M,) how much outward is palmar, as of ``View`` but without seams.
        bends: (15, 2) bend before and behind each phalanx, 0 straight to 1 from a right angle on.
    """

    places: np.ndarray
    frames: np.ndarray
    palmar: np.ndarray
    bends: np.ndarray


def stretched(cones: Cones, view: View) -> Stretched:
    """The stretched-out places of a view of the hand that the cones belong to."""
    ends = cones.ends_mm[:PHALANX_COUNT]
    bones = ends[:, 1] - ends[:, 0]
    lengths = np.linalg.norm(bones, axis=-1)
    units = bones / lengths[:, None]
    handed = np.linalg.det(cones.axes)
    lateral = handed * np.cross(units, cones.pulps)
    lateral /= np.linalg.norm(lateral, axis=-1, keepdims=True)
    frames = np.stack([*np.stack([lateral, units, handed * np.cross(lateral, units)], axis=-1), cones.axes])
    origins = np.concatenate([ends[:, 0], cones.wrist_mm[None]])
    start, bends = np.zeros((PHALANX_COUNT + 1, 3)), np.zeros((PHALANX_COUNT, 2))
    for number, previous in enumerate(_BEFORE[:PHALANX_COUNT]):
        first, base = number % 3 == 0, (ends[number, 0] - cones.wrist_mm) @ cones.axes
        start[number] = base if first else start[previous] + [0, lengths[previous], 0]
        bends[number, 0] = 1 - frames[previous, :, 1] @ units[number]
        if not first:
            bends[previous, 1] = bends[number, 0]
    # Points of palm and arm have phalanx -1, the last row.
    bone, before = view.phalanx, _BEFORE[view.phalanx]
    own = np.clip(view.along_mm / (_CARRIED * view.length_mm), 0, 1)
    own = np.where(bone >= 0, own * own * (3 - 2 * own), 1.0)
    there = start[bone] + np.einsum("mi,mij->mj", view.points - origins[bone], frames[bone])
    carried = start[before] + np.einsum("mi,mij->mj", view.points - origins[before], frames[before])
    return Stretched(
        places=carried + own[:, None] * (there - carried),
        frames=frames[before] + own[:, None, None] * (frames[bone] - frames[before]),
        palmar=own * view.palmar + (1 - own) * np.einsum("mi,mi->m", view.normals, frames[before, :, 2]),
        bends=np.clip(bends, 0, 1),
    )
