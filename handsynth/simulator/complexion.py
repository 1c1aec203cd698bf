"""What points of a hand look like where they are seen: colour, relief, veins, wrinkles, hair and nails; or its sleeve.

Patterns belong to the stretched-out hand: every bone carries its piece along when it moves. All is worked out one point
at a time by functions that CPU and GPU share, see ``field``. Linear light.
"""

from __future__ import annotations

import math

import numpy as np

from handsynth.hand.joints import FIRST_PHALANX, OTHER_BODY
from handsynth.simulator import coat, field, skin, stretched, trace
from handsynth.simulator.cloth import Cloth, cloth_at
from handsynth.simulator.coat import Coat
from handsynth.simulator.compile import compiled
from handsynth.simulator.relief import bent, lines, noise
from handsynth.simulator.skin import Skin
from handsynth.simulator.surface import Surface
from handsynth.simulator.trace import View

_CREASE_MM, _NAIL_EDGE_MM = 0.3, 0.5
"""A crease this deep, and a nail this far from its edge, have their full colour."""
_BLOOD = (0.3, 1.0, 0.85)  # how much blood takes of red, green and blue light
_MELANIN = (0.55, 0.85, 1.0)
_VEIN = (1.0, 0.35, 0.2)
_BLEED = (0.34, 0.16, 0.11)
_PALE = (0.72, 0.66, 0.58)  # moon and free edge of a nail
_KNUCKLES = (3, 6, 9, 12)  # bones that begin at the knuckles of the palm
_PADS_MM = ((24.0, 28.0), (-22.0, 30.0), (0.0, 78.0))  # of the palm, radial and distal


def hand_coat(wearer: Skin, cloth: Cloth, surface: Surface, view: View, footprint_mm: float) -> Coat:
    """The look of a hand and its sleeve at M points.

    Args:
        wearer: the person's skin.
        cloth: of the sleeve, if there is one.
        surface: what was traced.
        view: what is seen of it.
        footprint_mm: what one pixel covers on the hand; finer relief is left out.
    """
    out = np.empty((len(view.numbers), coat.COLUMNS))
    bones = stretched.chain(surface.cones)
    person, sleeve = wearer.row(footprint_mm), cloth.row(footprint_mm)
    _hand_coat(person, wearer.texture, sleeve, cloth.texture, bones, surface.table, view.numbers, out)
    return Coat(out)


@compiled
def _hand_coat(
    person: np.ndarray, skin_texture: np.ndarray, sleeve: np.ndarray, cloth_texture: np.ndarray, bones: np.ndarray,
    t: np.ndarray, numbers: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    flat = np.empty(stretched.FLAT_COLUMNS)
    for i in range(len(numbers)):
        hand_at(person, skin_texture, sleeve, cloth_texture, bones, t, numbers[i], flat, out[i])


@compiled
def hand_at(
    person: np.ndarray, skin_texture: np.ndarray, sleeve: np.ndarray, cloth_texture: np.ndarray, bones: np.ndarray,
    t: np.ndarray, seen: np.ndarray, flat: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    """Write the look of one point of a hand or its sleeve into out (11,), see ``coat``.

    Args:
        person, skin_texture: of ``Skin``.
        sleeve, cloth_texture: of ``Cloth``.
        bones: (16, 17) of ``stretched.chain``.
        t: (R, 16) the hand, see ``field``.
        seen: (16,) the point, as ``trace.describe`` writes it.
        flat: (13,) scratch.
        out: the look.
    """
    if seen[trace.CLOTH] > 0.0:
        cloth_at(sleeve, cloth_texture, t[field.FRAME], seen, out)
    else:
        _skin_at(person, skin_texture, bones, t, seen, flat, out)


@compiled
def _skin_at(
    person: np.ndarray, texture: np.ndarray, bones: np.ndarray, t: np.ndarray, seen: np.ndarray, flat: np.ndarray,
    out: np.ndarray,
) -> None:  # fmt: skip
    part = int(seen[trace.PART])
    phalanx = part - FIRST_PHALANX if FIRST_PHALANX <= part < OTHER_BODY else -1
    stretched.stretch(bones, seen, phalanx, flat)
    x, y, z, palmar = flat[0], flat[1], flat[2], flat[stretched.PALMAR]
    # Behind the wrist the inner side fades into the skin of the arm.
    arm = 0.0 if phalanx >= 0 else _sigmoid(-(seen[trace.PLACE + 1] + 10.0) / 12.0)
    share = _sigmoid(5.0 * (palmar - 0.05)) * (1.0 - 0.75 * arm)
    back = 1.0 - _sigmoid(6.0 * palmar)
    finest, wrinkles = person[skin.FINEST_LEFT], person[skin.WRINKLES]

    blood = noise(texture, x, y, z, 12.0, 12.0, 12.0)[0]
    patches = noise(texture, x + 31.7, y + 31.7, z + 31.7, 5.0, 5.0, 5.0)[0]
    spots = noise(texture, x + 77.1, y + 77.1, z + 77.1, 3.2, 3.2, 3.2)[0]
    grain, sx, sy, sz = noise(texture, x + 7.3, y + 7.3, z + 7.3, 1.3, 1.3, 1.3)
    melanin = 0.45 * min(max(spots - 0.5, 0.0), 1.0) * (1.0 - share) * person[skin.FRECKLES]
    melanin += 0.06 * patches * person[skin.MOTTLING]
    redness = person[skin.MOTTLING] * (0.11 * blood + 0.05 * patches * share) + _flushed(
        bones, seen, phalanx, x, y, z, share
    )
    rough = 0.018 * finest * (0.5 + 0.5 * wrinkles)
    sx, sy, sz = rough * sx, rough * sy, rough * sz

    bruised = 0.0  # by veins, which fingers do not show
    if phalanx < 0:
        hidden = person[skin.VEINS] * (back + 0.35 * arm * (1.0 - back))
        vein, ax, ay, az = noise(texture, x, y, z, 15.0, 34.0, 15.0)
        vein, ax, ay, az = lines(vein, ax, ay, az, 1.7, 15.0)
        high = 0.35 * hidden
        sx, sy, sz, bruised = sx + high * ax, sy + high * ay, sz + high * az, 0.12 * hidden * vein
        sx += _tendons(bones, x, y, back * (1.0 - arm) * person[skin.VEINS])
    fine, ax, ay, az = noise(texture, x, y, z, 7.0, 9.0, 7.0)
    fine, ax, ay, az = lines(fine, ax, ay, az, 0.45, 7.0)
    fine_share = wrinkles * share * (1.0 - arm) * person[skin.LINES_LEFT]
    deep = 0.06 * fine_share
    sx, sy, sz = sx - deep * ax, sy - deep * ay, sz - deep * az
    folded = 0.0
    if phalanx >= 0:
        fold, steep = _knuckle_fold(bones, seen, phalanx, patches, person[skin.FOLDS_LEFT])
        folded, sy = wrinkles * back * fold, sy - 0.16 * wrinkles * back * steep

    nail = min(max(-seen[trace.NAIL] / _NAIL_EDGE_MM, 0.0), 1.0)
    pale = 0.0
    if nail > 0.0 and person[skin.PAINTED] == 0.0:
        pale = _pale(t, seen, phalanx, person[skin.FREE_EDGE])
    creased = min(max(seen[trace.CREASE] / _CREASE_MM, 0.0), 1.0) * (0.5 + 0.5 * share) + 0.25 * fine_share * fine
    hair = 0.0
    if person[skin.HAIR] > 0.0:
        hair = person[skin.HAIR] * _hair(texture, x, y, z, phalanx, back, arm, person[skin.STRANDS_LEFT])
    for channel in range(3):
        absorbed = redness * _BLOOD[channel] + melanin * _MELANIN[channel] + bruised * _VEIN[channel] + hair
        absorbed += (0.4 * creased + 0.2 * folded) * (0.4 + 0.8 * _BLOOD[channel])
        albedo = person[skin.BACK + channel] + share * (person[skin.PALM + channel] - person[skin.BACK + channel])
        albedo *= math.exp(-absorbed) * (1.0 + 0.025 * finest * grain)
        plate = person[skin.NAIL + channel]
        albedo += nail * (plate + pale * (_PALE[channel] - plate) - albedo)
        out[coat.ALBEDO + channel] = min(max(albedo, coat.DARKEST), coat.LIGHTEST)
        out[coat.BLEED + channel] = _BLEED[channel]
    gloss = person[skin.GLOSS] * (1.0 - 0.35 * share + 0.5 * finest * grain) * (1.0 - nail)
    out[coat.GLOSS] = max(gloss + nail * (2.2 if person[skin.PAINTED] > 0.0 else 1.2), 0.0)
    out[coat.THIN] = 0.12 if phalanx >= 0 else 0.02
    sx, sy, sz = sx * (1.0 - nail), sy * (1.0 - nail), sz * (1.0 - nail)
    frame = stretched.FRAME
    out[coat.NORMAL], out[coat.NORMAL + 1], out[coat.NORMAL + 2] = bent(
        seen[trace.NORMAL],
        seen[trace.NORMAL + 1],
        seen[trace.NORMAL + 2],
        flat[frame] * sx + flat[frame + 1] * sy + flat[frame + 2] * sz,
        flat[frame + 3] * sx + flat[frame + 4] * sy + flat[frame + 5] * sz,
        flat[frame + 6] * sx + flat[frame + 7] * sy + flat[frame + 8] * sz,
    )


@compiled
def _flushed(bones: np.ndarray, seen: np.ndarray, phalanx: int, x: float, y: float, z: float, share: float) -> float:
    """Extra blood: fingertips, knuckles, and the pads of the palm."""
    along, length = seen[trace.ALONG], seen[trace.LENGTH]
    if phalanx >= 0 and phalanx % 3 == 2:
        return 0.16 * min(max(along / length, 0.0), 1.0)
    knuckle, square = 0.0, field.FAR_MM
    if phalanx >= 0:
        knuckle = _bump((along - length) / 6.0)
    for bone in _KNUCKLES:
        start = stretched.START
        dx, dy, dz = x - bones[bone, start], y - bones[bone, start + 1], z - bones[bone, start + 2]
        square = min(square, dx * dx + dy * dy + dz * dz)
    knuckle = max(knuckle, _bump(max(math.sqrt(square) - 8.0, 0.0) / 8.0))
    pads = 0.0
    if phalanx < 0:
        for radial, distal in _PADS_MM:
            dx, dy = x - radial, y - distal
            pads = max(pads, math.exp(-(dx * dx + dy * dy) / 220.0))
    return 0.14 * knuckle * (1.0 - share) + 0.14 * pads * share


@compiled
def _knuckle_fold(bones: np.ndarray, seen: np.ndarray, phalanx: int, warp: float, left: float) -> tuple[float, float]:
    """Wrinkles across the backs of the finger joints and their slope along the bone; bent skin is taut."""
    segment, along = phalanx % 3, seen[trace.ALONG]
    to_end = along - seen[trace.LENGTH]
    at_end = segment < 2 and (segment == 0 or -to_end < along)
    away = to_end if at_end else along
    bend = bones[phalanx, stretched.BENDS + (1 if at_end else 0)]
    outer = segment == 2 or (segment == 1 and at_end)
    window = _bump(away / (3.5 if outer else 5.5)) * ((1.0 - bend) * (1.0 - bend)) * left
    phase = 2.0 * math.pi * away / skin.FOLD_MM + 2.5 * warp
    return window * max(math.cos(phase), 0.0), -window * math.sin(phase) * 2.0 * math.pi / skin.FOLD_MM


@compiled
def _tendons(bones: np.ndarray, x: float, y: float, strength: float) -> float:
    """Slope across the cords that run from the wrist to the knuckles on the back of the hand."""
    slope = 0.0
    for bone in _KNUCKLES:
        radial, distal = bones[bone, stretched.START], bones[bone, stretched.START + 1]
        share = min(max((y - 8.0) / (distal - 8.0), 0.0), 1.0)
        if 0.0 < share < 1.0:
            off = x - (0.15 + 0.85 * share) * radial
            slope -= 0.9 * strength * _bump(off / 2.6) * 4.0 * share * (1.0 - share) * off / (2.6 * 2.6)
    return slope


@compiled
def _hair(
    texture: np.ndarray, x: float, y: float, z: float, phalanx: int, back: float, arm: float, left: float
) -> float:
    """How dark hair makes the arm and the backs of hand and first phalanges."""
    if phalanx >= 0 and phalanx % 3 > 0:
        return 0.0
    strand, sx, sy, sz = noise(texture, x + 13.0, y + 13.0, z + 13.0, 1.1, 6.0, 1.1)
    thin = lines(strand, sx, sy, sz, 0.16, 1.1)[0]
    where = 0.5 if phalanx >= 0 else 0.35 + 0.65 * arm
    return where * max(back, 0.5 * arm) * (0.05 + 0.45 * thin * left)


@compiled
def _pale(t: np.ndarray, seen: np.ndarray, phalanx: int, free_edge: float) -> float:
    """How much paler a bare nail is than its plate: at the moon of its root, and at its white free edge."""
    row = field.NAILS + phalanx // 3
    dx, dy, dz = seen[0] - t[row, 0], seen[1] - t[row, 1], seen[2] - t[row, 2]
    across = (dx * t[row, 3] + dy * t[row, 4] + dz * t[row, 5]) / t[row, 12]
    along = (dx * t[row, 6] + dy * t[row, 7] + dz * t[row, 8]) / t[row, 13]  # -1 root, 1 tip
    moon = min(max((-0.62 - along - 0.5 * across * across) / 0.12, 0.0), 1.0) * (0.6 if phalanx < 3 else 0.3)
    if free_edge <= 0.01:
        return moon
    white = min(max((along - (1.0 - 2.0 * free_edge) + 0.15 * across * across) / 0.12, 0.0), 1.0)
    return max(0.75 * white, moon)


@compiled
def _sigmoid(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-value))


@compiled
def _bump(value: float) -> float:
    return math.exp(-(value * value))
