"""What a hand's skin looks like where it is seen: colour, mottling, creases and nails. Linear light, sRGB primaries."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch

from handsynth.hand.joints import FIRST_PHALANX
from handsynth.simulator.surface import PHALANX_COUNT, Cones
from handsynth.simulator.trace import View

# sRGB tones from light to dark, spread over the range of human skin.
_TONES = (
    np.array([[240, 205, 184], [224, 176, 146], [198, 142, 108], [160, 108, 76], [118, 76, 52], [78, 50, 38]]) / 255
)
_PALMAR_TONE = np.array([226, 168, 146]) / 255
_CELLS = 24
_CELL_MM = {"blotches": 11.0, "grain": 2.2}
# Lines of the palm as polylines in the hand frame of a palm of 88 mm: heart, head, life.
_PALM_LINES = (
    ((-42, 60), (-28, 64), (-10, 66), (4, 72), (14, 82)),
    ((-38, 50), (-20, 50), (0, 56), (18, 64), (29, 67)),
    ((30, 66), (18, 56), (6, 42), (2, 26), (4, 12)),
)


@dataclass(frozen=True)
class Skin:
    """One person's skin.

    Attributes:
        back, palm: (3,) linear albedo of the back of the hand and of the palm.
        texture: (C, C, C) mottling in [-1, 1], repeating.
        gloss: strength of the highlight, 0 dry to 1 moist.
        nail: (3,) linear albedo of the nails.
    """

    back: np.ndarray
    palm: np.ndarray
    texture: np.ndarray
    gloss: float
    nail: np.ndarray


def to_linear(srgb: np.ndarray) -> np.ndarray:
    """sRGB values in [0, 1] to linear light."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((np.maximum(srgb, 0) + 0.055) / 1.055) ** 2.4)


def random_skin(rng: np.random.Generator, tones: tuple[float, float]) -> Skin:
    """Draw a person's skin; ``tones`` is the range of darkness, 0 lightest to 1 darkest."""
    darkness = rng.uniform(*tones)
    place = darkness * (len(_TONES) - 1)
    back = np.array([np.interp(place, np.arange(len(_TONES)), _TONES[:, channel]) for channel in range(3)])
    back = np.clip(back * (1 + rng.normal(0, [0.02, 0.025, 0.035])), 0.02, 0.97)
    # Palms carry little melanin: on dark hands they are clearly lighter, on all hands redder.
    palm = back + (0.25 + 0.25 * darkness) * (_PALMAR_TONE - back)
    palm = palm * (1 + rng.normal(0, 0.02, 3)) * [1.01, 0.95, 0.94]
    nail = 0.55 * palm + 0.45 * np.array([0.93, 0.76, 0.72])
    texture = rng.uniform(-1, 1, (_CELLS,) * 3).astype(np.float32)
    return Skin(to_linear(back), to_linear(palm), texture, float(rng.uniform(0.15, 0.8)), to_linear(nail))


@torch.no_grad()
def appearance(skin: Skin, cones: Cones, center_mm: np.ndarray, view: View) -> tuple[torch.Tensor, torch.Tensor]:
    """Albedo (M, 3) and highlight strength (M,) of the points of a view."""
    # Coordinates of the hand frame: the pattern stays on the hand when it moves.
    local = (view.points + _tensor(center_mm - cones.wrist_mm)) @ _tensor(cones.axes)
    facing = view.normals @ _tensor(cones.axes[:, 2])
    axial, length, outward = _on_phalanx(cones, center_mm, view)
    phalanx = view.parts.long() - FIRST_PHALANX
    on_finger = (phalanx >= 0) & (phalanx < PHALANX_COUNT)
    palmar = torch.where(on_finger, outward, facing)
    # Behind the wrist the inner side fades into the skin of the arm.
    arm = torch.where(on_finger, 0.0, torch.sigmoid(-(local[:, 1] + 6) / 7))
    share = torch.sigmoid(5 * (palmar - 0.05))[:, None] * (1 - 0.75 * arm[:, None])
    albedo = _tensor(skin.back) + share * _tensor(skin.palm - skin.back)
    redness = _tensor(np.array([1.0, 0.78, 0.74]))
    blotches = _noise(skin.texture, local / _CELL_MM["blotches"])
    grain = _noise(skin.texture, local / _CELL_MM["grain"] + 7.3)
    albedo = albedo * (1 + 0.07 * blotches[:, None] * _tensor(np.array([0.5, 1.0, 1.0])) + 0.05 * grain[:, None])
    last = on_finger & (phalanx % 3 == 2)
    tip = torch.where(last, (axial / length).clamp(0, 1), torch.zeros_like(axial))
    knuckle = torch.where(on_finger & (phalanx % 3 != 2), torch.exp(-(((axial - length) / 6.0) ** 2)), 0.0 * axial)
    albedo = albedo * redness ** (0.45 * tip + 0.4 * knuckle * (1 - share[:, 0]))[:, None]
    albedo = albedo * (1 - 0.22 * _creases(axial, length, phalanx, on_finger, palmar))[:, None]
    lines = torch.where(view.parts == 2, _palm_lines(local, float(np.linalg.norm(cones.wrist_mm - _knuckle(cones)))), 0)
    albedo = albedo * (1 - 0.25 * lines * (facing > 0.3))[:, None]
    nail = _nail(axial, length, outward, last, view, cones)
    albedo = albedo + nail[:, None] * (_tensor(skin.nail) - albedo)
    return albedo.clamp(0.005, 0.98), skin.gloss * (1 + 2.5 * nail) * (1 + 0.3 * grain)


def _knuckle(cones: Cones) -> np.ndarray:
    return np.asarray(cones.ends_mm[6, 0])  # the middle finger's first phalanx starts at its MCP


def _on_phalanx(cones: Cones, center_mm: np.ndarray, view: View) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of each point, on the phalanx it belongs to: place along the bone, the bone's length, palmar share of outward."""
    which = _phalanx(view)
    start = _tensor(cones.ends_mm[:PHALANX_COUNT, 0] - center_mm)[which]
    axis = _tensor(np.diff(cones.ends_mm[:PHALANX_COUNT], axis=1)[:, 0])[which]
    length = torch.linalg.vector_norm(axis, dim=-1)
    unit = axis / length[:, None]
    from_start = view.points - start
    axial = (from_start * unit).sum(-1)
    outward = torch.nn.functional.normalize(from_start - axial[:, None] * unit, dim=-1)
    return axial, length, (outward * _tensor(cones.pulps)[which]).sum(-1)


def _creases(
    axial: torch.Tensor, length: torch.Tensor, phalanx: torch.Tensor, on_finger: torch.Tensor, palmar: torch.Tensor
) -> torch.Tensor:
    """Flexion creases at the joints: two thin rings on the palmar side, fainter and broader behind."""
    width = torch.where(palmar > 0, 0.55, 0.9)
    begin = torch.exp(-((axial / width) ** 2)) + 0.6 * torch.exp(-(((axial - 2.4) / width) ** 2))
    end = torch.exp(-(((axial - length) / width) ** 2)) + 0.6 * torch.exp(-(((axial - length + 2.4) / width) ** 2))
    first, last = phalanx % 3 == 0, phalanx % 3 == 2
    ring = torch.where(first, 0.0, begin) + torch.where(last, 0.0, end)
    # The first crease of a finger lies beyond the web, not at the knuckle.
    root = torch.exp(-(((axial - 0.45 * length) / 0.8) ** 2)) * (palmar > 0.1)
    ring = ring + torch.where(first & (phalanx > 0), root, 0.0)
    return torch.where(on_finger, ring * (0.45 + 0.55 * (palmar > 0)), 0.0).clamp(0, 1)


def _palm_lines(local: torch.Tensor, palm_mm: float) -> torch.Tensor:
    """Darkness (M,) in [0, 1] of the lines of the palm, in the hand frame."""
    flat = local[:, :2] * (88.0 / palm_mm)
    dark = torch.zeros(len(flat))
    for line in _PALM_LINES:
        points = torch.tensor(line, dtype=torch.float32)
        nearest = torch.full((len(flat),), torch.inf)
        for start, end in itertools.pairwise(points):
            along = (((flat - start) * (end - start)).sum(-1) / ((end - start) ** 2).sum()).clamp(0, 1)
            off = flat - start - along[:, None] * (end - start)
            nearest = torch.minimum(nearest, torch.linalg.vector_norm(off, dim=-1))
        dark = dark + torch.exp(-((nearest / 0.9) ** 2))
    return dark.clamp(0, 1)


def _nail(
    axial: torch.Tensor, length: torch.Tensor, outward: torch.Tensor, last: torch.Tensor, view: View, cones: Cones
) -> torch.Tensor:
    """Share of nail (M,) in [0, 1]: an oval on the back of the last phalanx, from its middle to the fingertip."""
    which = _phalanx(view)
    radius = _tensor(cones.radii_mm[:PHALANX_COUNT, 1])[which]
    around = torch.acos((-outward).clamp(-1, 1)) / 0.85  # 0 at the middle of the back, 1 at the nail's side edge
    along = (axial - (length + 0.15 * radius)) / (0.95 * radius)
    edge = (around.abs() ** 3 + along.abs() ** 3).clamp(min=1e-6) ** (1 / 3)
    return torch.where(last, ((1.0 - edge) / 0.12).clamp(0, 1), 0.0)


def _phalanx(view: View) -> torch.Tensor:
    """(M,) row of the phalanx that each point belongs to; any row where it belongs to none."""
    return (view.parts.long() - FIRST_PHALANX).clamp(0, PHALANX_COUNT - 1)


def _tensor(value: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.ascontiguousarray(value), dtype=torch.float32)


def _noise(texture: np.ndarray, points: torch.Tensor) -> torch.Tensor:
    """Trilinear noise (M,) of a repeating volume at points (M, 3) in cells."""
    volume = torch.as_tensor(texture).reshape(-1)
    cell = torch.floor(points)
    part = points - cell
    part = part * part * (3 - 2 * part)
    low = cell.long() % _CELLS
    high = (low + 1) % _CELLS
    out = torch.zeros(len(points))
    for corner in range(8):
        picks = [(corner >> axis) & 1 for axis in range(3)]
        x, y, z = (high[:, axis] if pick else low[:, axis] for axis, pick in enumerate(picks))
        weight = torch.ones(len(points))
        for axis, pick in enumerate(picks):
            weight = weight * (part[:, axis] if pick else 1 - part[:, axis])
        out = out + weight * volume[(x * _CELLS + y) * _CELLS + z]
    return out
