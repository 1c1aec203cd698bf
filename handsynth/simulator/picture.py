"""The colour picture of a scene: a place, light that fits it, hands, sleeves and things in it, and a camera's shot.

Light and place go by the scene's take, so that the frames of a clip and the cameras of a rig agree; only the noise
is each picture's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from handsynth.runtime.seeds import rng as stream
from handsynth.simulator import background, pictures
from handsynth.simulator.cloth import draw_cloth
from handsynth.simulator.environment import draw_light, fixed_light
from handsynth.simulator.looks import Looks
from handsynth.simulator.paint import Paint
from handsynth.simulator.palette import draw_palette
from handsynth.simulator.render import cast_shadow, composed
from handsynth.simulator.rigs import Lens
from handsynth.simulator.scene import Scene
from handsynth.simulator.sensor import develop, draw_shot, smeared
from handsynth.simulator.sight import Sight
from handsynth.simulator.tones import to_linear

_PROBED = 48  # px of a place that no camera sees, drawn for its light
_SHADED_WALLS = 0.35  # share of hands near enough to what is behind them to shade it


@dataclass(frozen=True)
class Stage:
    """What is around the hands of a picture, before anybody looks at them.

    Attributes:
        place: (H, W, 3) float32 linear light from what is behind them.
        paint: what colours them, lit as the place is.
    """

    place: np.ndarray
    paint: Paint


def draw_stage(looks: Looks, seed: int, scene: Scene, lens: Lens) -> Stage:
    """Place, light and cloth for a lens of the scene's rig.

    Args:
        looks: settings.
        seed: of the simulation.
        scene: what is there.
        lens: one of the rig's.
    """
    looks = looks.settled()
    place, probed = _place(looks, seed, scene, lens)
    light = fixed_light()
    if "lights" not in looks.without:
        light = draw_light(_stream(seed, scene, "light"), probed, looks.lamp_share)
    light = light.turned(np.array(lens.from_scene.rotation))
    return Stage(place, Paint(scene.skin, draw_cloth(_stream(seed, scene, "cloth")), light, looks.shadows))


def picture(looks: Looks, seed: int, scene: Scene, lens: Lens, stage: Stage, sight: Sight) -> np.ndarray:
    """(H, W, 3) uint8 sRGB that a lens of the scene's rig takes.

    Args:
        looks, seed, scene, lens: as for ``draw_stage``.
        stage: what that gave.
        sight: what the lens' camera sees of the scene, painted with the stage's paint.
    """
    looks, place = looks.settled(), stage.place
    camera, side = lens.camera, max(lens.camera.height, lens.camera.width)
    shot = draw_shot(_stream(seed, scene, "shot"), looks)
    random = _stream(seed, scene, "wall")
    if random.random() < _SHADED_WALLS and looks.shadows and "lights" not in looks.without:
        place = cast_shadow(place, sight.owner >= 0, stage.paint.light, random)
    front = composed(sight.layers, camera.height, camera.width)
    front = background.defocused(front, shot.defocus * side)
    way = shot.motion * side
    front = front if shot.shaken else smeared(front, way)
    image = front[..., :3] + (1 - front[..., 3:]) * place
    image = smeared(image, way) if shot.shaken else image
    return develop(image, shot, camera, stream(seed, "simulator", "sensor", scene.index, lens.name))


def _stream(seed: int, scene: Scene, purpose: str) -> np.random.Generator:
    return stream(seed, "simulator", "look", purpose, scene.take)


def _place(looks: Looks, seed: int, scene: Scene, lens: Lens) -> tuple[np.ndarray, np.ndarray]:
    """Linear (H, W, 3) float32: what is behind the hands, and the place by which all lenses of the take are lit."""
    random = _stream(seed, scene, "place")
    kind = looks.backgrounds[int(random.integers(len(looks.backgrounds)))]
    palette = draw_palette(random)
    camera, lenses = lens.camera, scene.rig.lenses
    blur = max(random.uniform(*looks.background_defocus), 0.0) * max(camera.height, camera.width)
    wall_mm = random.uniform(900, 2500)

    def drawn(purpose: str, height: int, width: int) -> np.ndarray:
        own = _stream(seed, scene, purpose)
        if looks.background_folder is not None:
            return to_linear(pictures.picture(own, looks.background_folder, height, width))
        return to_linear(background.draw(own, kind, palette, height, width))

    if scene.rig.calibrated:  # every camera looks at another wall of one place
        image, probed = drawn(f"wall {lens.name}", camera.height, camera.width), drawn("around", _PROBED, _PROBED)
    else:
        # Neighbouring lenses see one wall, shifted by their distance.
        slides = [round(-float(o.from_scene.translation_mm[0]) * lenses[0].camera.fx / wall_mm) for o in lenses]
        offset = slides[[o.name for o in lenses].index(lens.name)] - min(slides)
        probed = drawn("around", camera.height, camera.width + max(slides) - min(slides))
        image = np.ascontiguousarray(probed[:, offset : offset + camera.width])
    return background.defocused(image.astype(np.float32), blur), probed
