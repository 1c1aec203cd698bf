"""Where points of a posed hand lie on the same hand stretched out flat: the coordinates that its skin goes by.

Every bone carries its skin along when it moves. About its beginning a bone's skin still goes with the bone before, so
that patterns pass the joints without a seam. ``chain`` lays a hand's bones out as rows, phalanges thumb to pinky and
base to tip, then palm and arm as one; ``stretch`` reads them for one point, on CPU and GPU alike.
"""

from __future__ import annotations

import numpy as np

from handsynth.simulator import field, trace
from handsynth.simulator.compile import compiled
from handsynth.simulator.cones import PHALANX_COUNT, Cones

# Columns of a bone's row: its axes (radial, distal, palmar) as columns of a matrix, where it begins, where that point
# lies on the stretched-out hand, and how bent it is against the bones before and behind it.
AXES, ORIGIN, START, BENDS = 0, 9, 12, 15
BONE_COLUMNS = 17
# What ``stretch`` writes of a point: mm from the wrist on the stretched-out hand, radial, distal and palmar; where
# these axes point in the camera's frame, as columns of a matrix; how much outward is palmar, without seams.
PLACE, FRAME, PALMAR = 0, 3, 12
FLAT_COLUMNS = 13
_CARRIED = 0.45  # of a bone's length, over which its skin goes over from the bone before


def chain(cones: Cones) -> np.ndarray:
    """(16, 17) float64 rows of the bones; bends are 0 straight to 1 from a right angle on."""
    ends = cones.ends_mm[:PHALANX_COUNT]
    bones = ends[:, 1] - ends[:, 0]
    lengths = np.linalg.norm(bones, axis=-1)
    units = bones / lengths[:, None]
    handed = np.linalg.det(cones.axes)
    lateral = handed * np.cross(units, cones.pulps)
    lateral /= np.linalg.norm(lateral, axis=-1, keepdims=True)
    frames = np.stack([*np.stack([lateral, units, handed * np.cross(lateral, units)], axis=-1), cones.axes])
    out = np.zeros((PHALANX_COUNT + 1, BONE_COLUMNS))
    out[:, AXES:ORIGIN] = frames.reshape(-1, 9)
    out[:, ORIGIN:START] = [*ends[:, 0], cones.wrist_mm]
    starts, bends = out[:, START:BENDS], out[:, BENDS:]
    for number in range(PHALANX_COUNT):
        previous, first = before(number), number % 3 == 0
        base = (ends[number, 0] - cones.wrist_mm) @ cones.axes
        starts[number] = base if first else starts[previous] + [0, lengths[previous], 0]
        bends[number, 0] = np.clip(1 - frames[previous, :, 1] @ units[number], 0, 1)
        if not first:
            bends[previous, 1] = bends[number, 0]
    return out


@compiled
def before(bone: int) -> int:
    """The row of the bone before one: before a finger, and before palm and arm, it is palm and arm."""
    return bone - 1 if bone < PHALANX_COUNT and bone % 3 > 0 else PHALANX_COUNT


@compiled
def stretch(bones: np.ndarray, seen: np.ndarray, phalanx: int, flat: np.ndarray) -> None:
    """Write where a point lies on the stretched-out hand into flat (13,).

    Args:
        bones: (16, 17) of ``chain``.
        seen: (16,) the point, as ``trace.describe`` writes it.
        phalanx: 0 to 14, -1 for palm and arm.
        flat: the columns named above.
    """
    bone, own = PHALANX_COUNT, 1.0
    if phalanx >= 0:
        bone, own = phalanx, field.smooth_step(seen[trace.ALONG] / (_CARRIED * seen[trace.LENGTH]))
    last, outward = before(bone), 0.0
    for axis in range(3):
        there, carried = bones[bone, START + axis], bones[last, START + axis]
        for part in range(3):
            column = AXES + 3 * part + axis
            here, back = bones[bone, column], bones[last, column]
            there += (seen[trace.POINT + part] - bones[bone, ORIGIN + part]) * here
            carried += (seen[trace.POINT + part] - bones[last, ORIGIN + part]) * back
            flat[FRAME + 3 * part + axis] = back + own * (here - back)
        flat[PLACE + axis] = carried + own * (there - carried)
        outward += seen[trace.NORMAL + axis] * bones[last, AXES + 3 * axis + 2]
    flat[PALMAR] = own * seen[trace.PALMAR] + (1.0 - own) * outward
