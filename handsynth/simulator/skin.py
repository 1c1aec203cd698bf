"""What a hand's skin looks like where it is seen: colour, relief, veins, wrinkles, hair and nails. Linear light.

Patterns belong to the stretched-out hand: every bone carries its piece along when it moves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from handsynth.simulator import field
from handsynth.simulator.cones import PHALANX_COUNT, Cones
from handsynth.simulator.relief import bent, lines, noise
from handsynth.simulator.stretched import stretched
from handsynth.simulator.surface import Surface
from handsynth.simulator.tones import lab_to_linear, skin_lab
from handsynth.simulator.trace import View

_CELLS = 24
_CREASE_MM, _NAIL_EDGE_MM = 0.3, 0.5
"""A crease this deep, and a nail this far from its edge, have their full colour."""
_PALM_ITA_DEG = 42.0  # palms carry little melanin: on dark hands they are clearly lighter
_BLOOD = np.array([0.3, 1.0, 0.85])  # how much blood takes of red, green and blue light
_MELANIN = np.array([0.55, 0.85, 1.0])
_POLISH = np.array([[0.55, 0.01, 0.03], [0.35, 0.02, 0.12], [0.75, 0.3, 0.35], [0.02, 0.02, 0.03], [0.1, 0.2, 0.5]])


@dataclass(frozen=True)
class Skin:
    """One person's skin.

    Attributes:
        back, palm: (3,) linear albedo of the back of the hand and of the palm.
        texture: (C, C, C) pattern in [-1, 1], repeating.
        mottling, freckles, veins, wrinkles: strengths, 1 is usual and 0 none.
        gloss: strength of the highlight, 0 dry to 1 moist.
        hair: strength, 0 none to 1 dense.
        nail: (3,) linear albedo of the nails; ``painted`` nails have neither moon nor white edge.
        free_edge: share of a nail's length that is white.
        painted: whether the nails are.
    """

    back: np.ndarray
    palm: np.ndarray
    texture: np.ndarray
    mottling: float
    freckles: float
    veins: float
    wrinkles: float
    gloss: float
    hair: float
    nail: np.ndarray
    free_edge: float
    painted: bool


@dataclass(frozen=True)
class Coat:
    """What M points of a surface look like.

    Attributes:
        albedo: (M, 3) linear.
        gloss: (M,) strength of the highlight.
        normals: (M, 3) unit, with the fine relief; for light only.
        bleed: (3,) how far red, green and blue light travels under the surface, as a wrap of the cosine.
        thin: (M,) share of light from behind that comes through.
    """

    albedo: np.ndarray
    gloss: np.ndarray
    normals: np.ndarray
    bleed: np.ndarray
    thin: np.ndarray


def draw_skin(
    rng: np.random.Generator, ita_range_deg: tuple[float, float], variety: float = 1.0, hairy: float = 0.0,
    polish: float = 0.0,
) -> Skin:  # fmt: skip
    """Draw a person's skin.

    Args:
        rng: the person's.
        ita_range_deg: range of the individual typology angle of the back of the hand.
        variety: factor on the differences between people of one tone.
        hairy, polish: chances of hair and of painted nails.
    """
    angle = float(rng.uniform(*ita_range_deg))
    lab = skin_lab(angle) + variety * rng.normal(0, [1.5, 1.5, 1.5])
    palm = skin_lab(angle + 0.55 * max(_PALM_ITA_DEG - angle, 0)) + variety * rng.normal(0, [1.5, 2.0, 1.2])
    palm += [-0.5, 7.0, -0.5]
    worn = rng.random()  # age and work
    strengths = np.exp(variety * rng.normal(0, 0.4, 4)) * (1 + variety * (worn - 0.5) * np.array([0.3, 1.8, 1.2, 1.2]))
    gloss = 0.45 + variety * rng.uniform(-0.3, 0.4)
    nail = np.clip(lab_to_linear(0.68 * palm + 0.32 * np.array([76.0, 14.0, 10.0])), 0.02, 0.9)
    painted = rng.random() < polish
    if painted:
        nail = _POLISH[int(rng.integers(len(_POLISH)))] * rng.uniform(0.7, 1.3)
    hair = rng.uniform(0.2, 1.0) if rng.random() < hairy else 0.0
    texture = rng.uniform(-1, 1, (_CELLS,) * 3).astype(np.float32)
    free_edge = float(np.clip(0.08 + variety * rng.normal(0, 0.06), 0, 0.3))
    back, palm = (np.clip(lab_to_linear(color), 0.01, 0.95) for color in (lab, palm))
    mottling, freckles, veins, wrinkles = (float(strength) for strength in strengths)
    return Skin(
        back, palm, texture, mottling, freckles, veins, wrinkles, gloss, hair, nail, free_edge, painted
    )  # fmt: skip


def skin_coat(skin: Skin, surface: Surface, view: View, footprint_mm: float) -> Coat:
    """The skin that a view shows.

    Args:
        skin: the person's.
        surface: what was traced.
        view: M points.
        footprint_mm: what one pixel covers on the hand; finer relief is left out.
    """
    cones = surface.cones
    flat = stretched(cones, view)
    places = flat.places
    on_finger = view.phalanx >= 0
    # Behind the wrist the inner side fades into the skin of the arm.
    arm = np.where(on_finger, 0.0, _sigmoid(-(view.local_mm[:, 1] + 10) / 12))
    share = _sigmoid(5 * (flat.palmar - 0.05)) * (1 - 0.75 * arm)
    back = 1 - _sigmoid(6 * flat.palmar)
    finest = _seen(2.0, footprint_mm)

    blood, _ = noise(skin.texture, places, 12.0)
    patches, _ = noise(skin.texture, places + 31.7, 5.0)
    spots, _ = noise(skin.texture, places + 77.1, 3.2)
    grain, grain_slope = noise(skin.texture, places + 7.3, 1.3)
    melanin = 0.45 * np.clip(spots - 0.5, 0, 1) * (1 - share) * skin.freckles + 0.06 * patches * skin.mottling
    redness = skin.mottling * (0.11 * blood + 0.05 * patches * share) + _flushed(view, places, cones, share)
    shade = 0.025 * finest * grain
    slope = 0.018 * finest * grain_slope * (0.5 + 0.5 * skin.wrinkles)

    veins, vein_slope = lines(*noise(skin.texture, places, np.array([15.0, 34.0, 15.0])), 1.7, 15.0)
    hidden = skin.veins * np.where(on_finger, 0.0, back + 0.35 * arm * (1 - back))
    slope = slope + (0.35 * hidden)[:, None] * vein_slope
    fine, fine_slope = lines(*noise(skin.texture, places, np.array([7.0, 9.0, 7.0])), 0.45, 7.0)
    fine_share = skin.wrinkles * share * (1 - arm) * _seen(0.9, footprint_mm)
    slope = slope - (0.06 * fine_share)[:, None] * fine_slope
    folds, folds_slope = _knuckle_folds(view, flat.bends, patches, footprint_mm)
    folded = skin.wrinkles * back * folds
    slope[:, 1] -= 0.16 * skin.wrinkles * back * folds_slope
    slope = slope + _tendons(view, places, cones, back * (1 - arm) * skin.veins)

    albedo = skin.back + share[:, None] * (skin.palm - skin.back)
    creased = np.clip(view.crease_mm / _CREASE_MM, 0, 1) * (0.5 + 0.5 * share) + 0.25 * fine_share * fine
    absorbed = redness[:, None] * _BLOOD + melanin[:, None] * _MELANIN
    absorbed = absorbed + (0.4 * creased + 0.2 * folded)[:, None] * (0.4 + 0.8 * _BLOOD)
    absorbed = absorbed + (0.12 * hidden * veins)[:, None] * [1.0, 0.35, 0.2]
    if skin.hair > 0:
        absorbed = absorbed + (skin.hair * _hair(skin, view, places, back, arm, footprint_mm))[:, None]
    albedo = albedo * np.exp(-absorbed) * (1 + shade)[:, None]
    nail, color = _nails(skin, surface, view)
    albedo = albedo + nail[:, None] * (color - albedo)
    gloss = skin.gloss * (1 - 0.35 * share + 0.5 * finest * grain) * (1 - nail) + nail * (2.2 if skin.painted else 1.2)
    space = np.einsum("mij,mj->mi", flat.frames, slope * (1 - nail)[:, None])
    bleed = np.array([0.34, 0.16, 0.11])
    thin = np.where(on_finger, 0.12, 0.02)
    return Coat(np.clip(albedo, 0.004, 0.97), np.maximum(gloss, 0), bent(view.normals, space), bleed, thin)


def _flushed(view: View, places: np.ndarray, cones: Cones, share: np.ndarray) -> np.ndarray:
    """(M,) extra blood: fingertips, knuckles, and the pads of the palm."""
    last = (view.phalanx >= 0) & (view.phalanx % 3 == 2)
    tip = np.where(last, np.clip(view.along_mm / view.length_mm, 0, 1), 0.0)
    joint = (view.phalanx >= 0) & ~last
    knuckle = np.where(joint, np.exp(-(((view.along_mm - view.length_mm) / 6.0) ** 2)), 0.0)
    bases = (cones.ends_mm[3:PHALANX_COUNT:3, 0] - cones.wrist_mm) @ cones.axes
    off = np.linalg.norm(places[:, None] - bases, axis=-1).min(1)
    knuckle = np.maximum(knuckle, np.where(last, 0.0, np.exp(-((np.maximum(off - 8, 0) / 8.0) ** 2)))) * (1 - share)
    pads = np.zeros(len(places))
    for x, y in ((24.0, 28.0), (-22.0, 30.0), (0.0, 78.0)):
        pads = np.maximum(pads, np.exp(-((places[:, 0] - x) ** 2 + (places[:, 1] - y) ** 2) / 220.0))
    pads = np.where(view.phalanx >= 0, 0.0, pads)
    return np.asarray(0.16 * tip + 0.14 * knuckle + 0.14 * pads * share)


def _knuckle_folds(
    view: View, bends: np.ndarray, warp: np.ndarray, footprint_mm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Wrinkles (M,) across the backs of the finger joints and their slope along the bone; bent skin is taut."""
    finger = view.phalanx >= 0
    segment = view.phalanx % 3
    to_end = view.along_mm - view.length_mm
    at_end = finger & (segment < 2) & ((segment == 0) | (-to_end < view.along_mm))
    away = np.where(at_end, to_end, view.along_mm)
    joint = finger & (at_end | (segment > 0))
    outer = (segment == 2) | ((segment == 1) & at_end)
    bend = np.where(at_end, bends[view.phalanx, 1], bends[view.phalanx, 0])
    window = np.where(joint, np.exp(-((away / np.where(outer, 3.5, 5.5)) ** 2)), 0.0) * (1 - bend) ** 2
    period = 2.3
    phase = 2 * np.pi * away / period + 2.5 * warp
    window = window * _seen(period / 2, footprint_mm)
    return window * np.maximum(np.cos(phase), 0), -window * np.sin(phase) * 2 * np.pi / period


def _tendons(view: View, places: np.ndarray, cones: Cones, strength: np.ndarray) -> np.ndarray:
    """(M, 3) slope of the cords that run from the wrist to the knuckles on the back of the hand."""
    slope = np.zeros_like(places)
    bases = (cones.ends_mm[3:PHALANX_COUNT:3, 0] - cones.wrist_mm) @ cones.axes
    for base in bases:
        share = np.clip((places[:, 1] - 8) / (base[1] - 8), 0, 1)
        off = places[:, 0] - (0.15 + 0.85 * share) * base[0]
        ridge = np.exp(-((off / 2.6) ** 2)) * np.where(view.phalanx >= 0, 0.0, 4 * share * (1 - share))
        slope[:, 0] += -0.9 * strength * ridge * off / 2.6**2
    return slope


def _hair(
    skin: Skin, view: View, places: np.ndarray, back: np.ndarray, arm: np.ndarray, footprint_mm: float
) -> np.ndarray:
    """(M,) how dark hair makes the arm and the backs of hand and first phalanges."""
    strand, slope = noise(skin.texture, places + 13.0, np.array([1.1, 6.0, 1.1]))
    thin, _ = lines(strand, slope, 0.16, 1.1)
    where = np.where(view.phalanx >= 0, 0.5 * (view.phalanx % 3 == 0), 0.35 + 0.65 * arm) * np.maximum(back, 0.5 * arm)
    return np.asarray(where * (0.05 + 0.45 * thin * _seen(0.5, footprint_mm)))


def _nails(skin: Skin, surface: Surface, view: View) -> tuple[np.ndarray, np.ndarray]:
    """Share (M,) of nail in the colour, and the colour (M, 3) of nails: plate, moon at the root, white free edge."""
    share = np.clip(-view.nail_mm / _NAIL_EDGE_MM, 0, 1)
    color = np.tile(skin.nail, (len(share), 1))
    seen = np.nonzero(share > 0)[0]
    if skin.painted or not len(seen):
        return share, color
    outline = surface.table[field.NAILS + view.phalanx[seen] // 3]
    offset = view.points[seen] - outline[:, :3]
    across = (offset * outline[:, 3:6]).sum(-1) / outline[:, 12]
    along = (offset * outline[:, 6:9]).sum(-1) / outline[:, 13]  # -1 root, 1 tip
    white = np.clip((along - (1 - 2 * skin.free_edge) + 0.15 * across**2) / 0.12, 0, 1)
    moon = np.clip((-0.62 - along - 0.5 * across**2) / 0.12, 0, 1) * np.where(view.phalanx[seen] < 3, 0.6, 0.3)
    pale = np.maximum(0.75 * white * (skin.free_edge > 0.01), moon)[:, None]
    color[seen] += pale * (np.array([0.72, 0.66, 0.58]) - color[seen])
    return share, color


def _seen(size_mm: float, footprint_mm: float) -> float:
    """How much of a pattern is left when pixels average over it; ``size_mm`` is half its period."""
    return float(np.exp(-0.5 * (footprint_mm / size_mm) ** 2))


def _sigmoid(value: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-value)))
