"""What lights a hand: lamps, and what stands around it as a probe of six sides, made from the place that is seen.

The hand and what is behind it then agree: a dark red room gives dim reddish light. Linear light, sRGB primaries;
the light that a camera balances to neutral is white.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from handsynth.simulator.compile import compiled

# Rows of a light's table: axes of the probe, its six sides, then per lamp its direction, colour and softness.
AXES, PROBE, LAMPS = 0, 3, 9
LAMP_ROWS = 3
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_TYPICAL = 0.22
"""Mean linear luminance of a usual picture."""
_COLORFUL = 0.4
"""How much of the colours of the place its light keeps after it has been mixed."""


@dataclass(frozen=True)
class Lamp:
    """Far away.

    Attributes:
        direction: (3,) unit vector to the lamp.
        color: (3,) light on a surface that faces it.
        softness: half angle as a tangent: 0.05 sharp shadows, 0.5 soft ones.
    """

    direction: np.ndarray
    color: np.ndarray
    softness: float


@dataclass(frozen=True)
class Light:
    """Everything that lights a scene.

    Attributes:
        lamps: one or two; only the first is strong enough to cast shadows.
        probe: (2, 3, 3) light from -x, -y, -z and from +x, +y, +z; the last axis is colour.
        axes: (3, 3) rows: the probe's axes in the frame of the normals it is asked with.
    """

    lamps: tuple[Lamp, ...]
    probe: np.ndarray
    axes: np.ndarray

    def turned(self, rotation: np.ndarray) -> Light:
        """The same light in the frame that ``rotation`` (3, 3) leads to."""
        lamps = tuple(replace(lamp, direction=rotation @ lamp.direction) for lamp in self.lamps)
        return replace(self, lamps=lamps, axes=self.axes @ rotation.T)

    @property
    def table(self) -> np.ndarray:
        """(9 + 3 L, 3) float64 rows of L lamps and the probe, as ``around`` and ``render.shade_at`` read them."""
        lamps = [row for lamp in self.lamps for row in (lamp.direction, lamp.color, np.full(3, lamp.softness))]
        return np.concatenate([self.axes, self.probe.reshape(6, 3), lamps])


@compiled
def around(light: np.ndarray, x: float, y: float, z: float) -> tuple[float, float, float]:
    """Colour of the light that reaches a surface facing the unit direction (x, y, z) from all around.

    Args:
        light: ``Light.table``.
        x, y, z: see above.
    """
    red, green, blue = 0.0, 0.0, 0.0
    for axis in range(3):
        along = x * light[AXES + axis, 0] + y * light[AXES + axis, 1] + z * light[AXES + axis, 2]
        # The squares of a unit vector's parts sum to 1: a soft mix of the three sides that are faced.
        weight, side = along * along, PROBE + axis + (3 if along > 0.0 else 0)
        red += weight * light[side, 0]
        green += weight * light[side, 1]
        blue += weight * light[side, 2]
    return red, green, blue


def fixed_light() -> Light:
    """One lamp above the camera's left and even grey light, brighter from above: no variety."""
    direction = np.array([-0.5, -0.62, -0.6])
    probe = np.full((2, 3, 3), 0.42)
    probe[0, 1], probe[1, 1] = 0.55, 0.3
    return Light((Lamp(_unit(direction), np.full(3, 0.65), 0.25),), probe, np.eye(3))


def draw_light(rng: np.random.Generator, place: np.ndarray, lamp_share: tuple[float, float]) -> Light:
    """Light that fits a place.

    Args:
        rng: draws lamps, and what stands beside and behind the camera.
        place: (H, W, 3) linear picture of what is behind the hand.
        lamp_share: range of the share of light that lamps give.
    """
    probe = _probe(rng, place)
    mean = float((place @ LUMINANCE).mean())
    # A dark place is partly ill lit and partly of dark things.
    total = 0.95 * (max(mean, 0.02) / _TYPICAL) ** 0.4 * float(np.exp(rng.normal(0, 0.2)))
    share = rng.uniform(*lamp_share)
    probe *= (1 - share) * total / float((probe @ LUMINANCE).mean())
    warmth = rng.normal(0, 0.12)
    lamps = [_lamp(rng, warmth, 1.5 * share * total)]
    if rng.random() < 0.4:
        second = rng.uniform(0.15, 0.6)
        lamps = [replace(lamps[0], color=lamps[0].color * (1 - 0.6 * second))]
        lamps.append(_lamp(rng, rng.normal(0, 0.15), 1.5 * share * total * second))
    # Eyes and cameras take most of the tint of the light for white.
    tint = probe.mean((0, 1)) + 0.5 * sum(lamp.color for lamp in lamps)
    gains = np.clip((float(tint @ LUMINANCE) / tint) ** rng.uniform(0.6, 1.0), 0.75, 1.3)
    return Light(tuple(replace(lamp, color=lamp.color * gains) for lamp in lamps), probe * gains, np.eye(3))


def _probe(rng: np.random.Generator, place: np.ndarray) -> np.ndarray:
    """(2, 3, 3) colours of the six sides, with the place as the one behind the hand."""
    height, width = place.shape[:2]
    whole = _mean_color(place)
    edges = {
        (0, 0): place[:, : width // 3 + 1], (1, 0): place[:, -(width // 3 + 1) :],
        (0, 1): place[: height // 3 + 1], (1, 1): place[-(height // 3 + 1) :],
    }  # fmt: skip
    probe = np.empty((2, 3, 3))
    probe[1, 2] = whole
    probe[0, 2] = whole[rng.permutation(3)] if rng.random() < 0.2 else whole
    probe[0, 2] *= np.exp(rng.normal(0, 0.35))
    for (side, axis), part in edges.items():
        probe[side, axis] = 0.6 * _mean_color(part) + 0.4 * whole
        probe[side, axis] *= np.exp(rng.normal(0, 0.3))
    probe[0, 1] *= rng.uniform(1.0, 2.2)  # ceilings and skies are light, floors dark
    probe[1, 1] *= rng.uniform(0.4, 1.0)
    grey = (probe @ LUMINANCE)[..., None]
    return np.asarray(np.maximum(grey + _COLORFUL * (probe - grey), 0.01 * grey + 1e-4))


def _mean_color(place: np.ndarray) -> np.ndarray:
    """(3,) mean of (H, W, 3), pixel after pixel: what numpy's own comes to, ten times as fast for three channels."""
    total = np.zeros(3, dtype=place.dtype)
    _add_up(place, total)
    return np.asarray(total / (place.shape[0] * place.shape[1]))


@compiled
def _add_up(place: np.ndarray, total: np.ndarray) -> None:
    red, green, blue = total[0], total[1], total[2]
    for row in range(place.shape[0]):
        for column in range(place.shape[1]):
            red += place[row, column, 0]
            green += place[row, column, 1]
            blue += place[row, column, 2]
    total[0], total[1], total[2] = red, green, blue


def _lamp(rng: np.random.Generator, warmth: float, power: float) -> Lamp:
    """Mostly above and on the camera's side, now and then beside or behind the hand; from warm bulb to blue sky."""
    azimuth = rng.uniform(-1.4, 1.4) if rng.random() < 0.85 else rng.uniform(1.4, np.pi) * rng.choice([-1, 1])
    height = rng.uniform(-0.15, 1.25)
    direction = np.array([np.sin(azimuth) * np.cos(height), -np.sin(height), -np.cos(azimuth) * np.cos(height)])
    color = np.maximum(np.array([1 + warmth, 1.0, 1 - 1.2 * warmth]), 0.3)
    return Lamp(direction, power * color, float(np.exp(rng.uniform(np.log(0.04), np.log(0.6)))))


def _unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / np.linalg.norm(vector))
