"""Skin, light and places by what they promise; none of them moves a hand, and each variety can be left out."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest

from handsynth.errors import DataError, MissingError, UsageError
from handsynth.hand.joints import OTHER_BODY
from handsynth.imaging.codecs import write_jpeg, write_png
from handsynth.runtime.seeds import rng
from handsynth.runtime.settings import override
from handsynth.simulator import SimulatorSettings, coat, field, simulate
from handsynth.simulator.background import defocused, draw
from handsynth.simulator.cloth import draw_cloth
from handsynth.simulator.coat import Coat
from handsynth.simulator.complexion import hand_coat
from handsynth.simulator.environment import LUMINANCE, Lamp, Light, around, draw_light, fixed_light
from handsynth.simulator.looks import Kind, Looks, Variety
from handsynth.simulator.orientation import random_rotations
from handsynth.simulator.palette import draw_palette
from handsynth.simulator.pictures import picture
from handsynth.simulator.relief import bent, lines, noise
from handsynth.simulator.render import shade
from handsynth.simulator.scene import draw_scene, skin_of
from handsynth.simulator.skin import draw_skin
from handsynth.simulator.stretched import FLAT_COLUMNS, PALMAR, PLACE, chain, stretch
from handsynth.simulator.surface import Surface
from handsynth.simulator.tones import ita_deg, lab_to_linear, skin_lab, to_linear, to_srgb
from handsynth.simulator.trace import trace
from tests.simulator.scenes import BARE, drawn, small

KINDS = get_args(Kind)
CLOTH = draw_cloth(rng(0, "cloth"))


def lab(linear: np.ndarray) -> np.ndarray:
    """L*a*b* of linear colours (..., 3), by OpenCV."""
    image = to_srgb(linear).astype(np.float32).reshape(1, -1, 3)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2LAB)).reshape(np.shape(linear))


def test_colours_go_there_and_back_and_agree_with_opencv() -> None:
    colors = rng(0, "colors").random((50, 3))
    np.testing.assert_allclose(to_srgb(to_linear(colors)), colors, atol=1e-9)
    np.testing.assert_allclose(lab_to_linear(lab(colors).astype(np.float64)), colors, atol=6e-3)  # OpenCV uses tables


def test_skin_tones_have_the_angle_they_are_asked_for() -> None:
    angles = np.linspace(-60, 65, 26)
    tones = np.array([skin_lab(angle) for angle in angles])
    np.testing.assert_allclose(ita_deg(tones), angles, atol=1e-9)
    assert (np.diff(tones[:, 0]) > 0).all()
    linear = lab_to_linear(tones)
    assert linear.min() > 0
    assert linear.max() < 1
    assert (linear[:, 0] > linear[:, 1]).all()
    assert (linear[:, 1] > linear[:, 2]).all()


def test_people_differ_and_dark_hands_have_light_palms() -> None:
    people = [draw_skin(rng(number, "skin"), (-50, -40)) for number in range(20)]
    backs, palms = (lab(np.array([getattr(skin, name) for skin in people])) for name in ("back", "palm"))
    assert (palms[:, 0] > backs[:, 0] + 3).all()
    assert (palms[:, 1] > backs[:, 1]).all()
    assert np.abs(ita_deg(backs) + 45).max() < 25
    assert backs.std(0).min() > 0.3
    plain = [draw_skin(rng(number, "skin"), (30, 30), variety=0) for number in range(2)]
    for name in ("back", "palm", "nail", "mottling", "freckles", "veins", "wrinkles", "gloss", "free_edge"):
        assert np.array_equal(getattr(plain[0], name), getattr(plain[1], name)), name


@pytest.mark.parametrize("side", ["left", "right"])
def test_skin_stays_on_the_hand_wherever_it_goes(side: str) -> None:
    scene, surface, camera = drawn(1, side=side)
    view = trace(surface, camera)
    coat = hand_coat(scene.skin, CLOTH, surface, view, 1.0)
    assert coat.albedo.min() > 0
    assert coat.albedo.max() < 1
    assert coat.gloss.min() >= 0
    np.testing.assert_allclose(np.linalg.norm(coat.normals, axis=-1), 1, atol=1e-9)
    assert np.median((coat.normals * view.normals).sum(-1)) > 0.97
    for turn in (random_rotations(rng(0, "turn"), 1)[0], np.diag([-1.0, 1, 1])):
        shift = np.array([20.0, -30, 50])
        moved = Surface.of(surface.cones.moved(turn, shift))
        numbers = view.numbers.copy()
        numbers[:, :6] = np.concatenate([view.points @ turn.T + shift, view.normals @ turn.T], axis=1)
        again = hand_coat(scene.skin, CLOTH, moved, replace(view, numbers=numbers), 1.0)
        np.testing.assert_allclose(again.albedo, coat.albedo, atol=1e-6)
        np.testing.assert_allclose(again.normals, coat.normals @ turn.T, atol=1e-6)


@pytest.mark.parametrize("side", ["left", "right"])
def test_skin_has_no_seams_where_bones_meet(side: str) -> None:
    """Neighbouring pixels that are near in space are near on the stretched-out hand, whatever bone they belong to."""
    for index in range(3):
        _, surface, camera = drawn(index, side=side, size=192)
        view = trace(surface, camera)
        bones, flat = chain(surface.cones), np.empty((len(view.rows), FLAT_COLUMNS))
        for seen, phalanx, out in zip(view.numbers, view.phalanx, flat, strict=True):
            stretch(bones, seen, int(phalanx), out)
        places, palmar = flat[:, PLACE : PLACE + 3], flat[:, PALMAR]
        at = np.full((192, 192), -1)
        at[view.rows, view.columns] = np.arange(len(view.rows))
        here, there = at[:, :-1].ravel(), at[:, 1:].ravel()
        both = (here >= 0) & (there >= 0)
        here, there = here[both], there[both]
        apart = np.linalg.norm(view.points[here] - view.points[there], axis=-1)
        same_chain = (view.phalanx[here] // 3 == view.phalanx[there] // 3) | (view.phalanx[[here, there]].min(0) < 0)
        seam = (view.phalanx[here] != view.phalanx[there]) & same_chain & (apart < 2)
        assert seam.sum() > 20
        jump = np.linalg.norm(places[here] - places[there], axis=-1)
        assert np.median(jump[seam]) < 3
        assert np.median(np.abs(palmar[here] - palmar[there])[seam]) < 0.25
        still = view.phalanx < 0
        np.testing.assert_allclose(places[still], view.local_mm[still], atol=1e-9)


def test_fine_relief_goes_where_pixels_cannot_show_it() -> None:
    scene, surface, camera = drawn(1)
    view = trace(surface, camera)
    near, far = (hand_coat(replace(scene.skin, veins=0), CLOTH, surface, view, footprint) for footprint in (0.1, 20.0))
    off = [1 - (coat.normals * view.normals).sum(-1).mean() for coat in (near, far)]
    assert off[1] < 0.05 * off[0]


def test_nails_have_their_own_colour() -> None:
    scene, surface, camera = drawn(1, size=96)
    view = trace(surface, camera)
    nail = view.nail_mm < -0.6
    assert nail.sum() > 5
    painted = replace(scene.skin, nail=np.array([0.0, 0.0, 0.9]), painted=True)
    blue = hand_coat(painted, CLOTH, surface, view, 1.0).albedo
    assert (blue[nail, 2] > 0.8).all()
    plain = hand_coat(scene.skin, CLOTH, surface, view, 1.0).albedo
    assert np.array_equal(blue[view.nail_mm > 0], plain[view.nail_mm > 0])
    assert (plain[nail, 0] > plain[nail, 2]).all()


def test_noise_is_smooth_and_knows_its_slope() -> None:
    random = rng(1, "noise")
    texture = random.uniform(-1, 1, (8, 8, 8)).astype(np.float32)
    places, cell = random.uniform(-50, 50, (200, 3)), np.array([3.0, 5.0, 7.0])

    def at(places: np.ndarray) -> np.ndarray:
        return np.array([noise(texture, *place, *cell) for place in places])

    value, slope = at(places)[:, 0], at(places)[:, 1:]
    assert np.abs(value).max() <= 1
    assert value.std() > 0.2
    step = 1e-5
    for axis in range(3):
        ahead = at(places + step * np.eye(3)[axis])[:, 0]
        np.testing.assert_allclose((ahead - value) / step, slope[:, axis], atol=1e-3)
    np.testing.assert_allclose(at(places + 8 * cell)[:, 0], value, atol=1e-9)  # it repeats
    strength = [lines(*number, 1.0, 3.0)[0] for number in at(places)]
    assert 0 <= min(strength) <= max(strength) <= 1
    assert bent(0.0, 0.0, 1.0, 0.0, 0.0, 0.0) == (0.0, 0.0, 1.0)
    # A height that rises along x leans the normal back by its slope.
    np.testing.assert_allclose(bent(0.0, 0.0, 1.0, 1.0, 0.0, 5.0), np.array([-1, 0, 1]) / np.sqrt(2), atol=1e-9)


def light_around(light: Light, ways: np.ndarray) -> np.ndarray:
    """(M, 3) light that reaches surfaces facing (M, 3) directions from all around."""
    return np.array([around(light.table, *way) for way in ways])


def white_in(light: Light) -> np.ndarray:
    """(3,) light on white surfaces that face the camera's side, without shadows."""
    ways = random_rotations(rng(0, "ways"), 200)[:, 2]
    ways = ways[ways[:, 2] < 0]
    lamps = sum(np.maximum(ways @ lamp.direction, 0)[:, None] * lamp.color for lamp in light.lamps)
    return np.asarray((light_around(light, ways) + lamps).mean(0))


def test_a_probe_mixes_its_sides_and_turns_with_the_scene() -> None:
    light = draw_light(rng(0, "light"), rng(0, "place").random((20, 20, 3)), (0.3, 0.6))
    ways = random_rotations(rng(1, "ways"), 50)[:, 0]
    even = replace(light, probe=np.full((2, 3, 3), 0.4))
    np.testing.assert_allclose(light_around(even, ways), 0.4)
    np.testing.assert_allclose(light_around(light, np.array([[0.0, 1, 0]]))[0], light.probe[1, 1])
    np.testing.assert_allclose(light_around(light, np.array([[0.0, 0, -1]]))[0], light.probe[0, 2])
    turn = random_rotations(rng(2, "turn"), 1)[0]
    turned = light.turned(turn)
    np.testing.assert_allclose(light_around(turned, ways @ turn.T), light_around(light, ways), atol=1e-12)
    np.testing.assert_allclose(turned.lamps[0].direction, turn @ light.lamps[0].direction)


def test_colours_are_what_light_and_surface_make_of_each_other() -> None:
    ways = random_rotations(rng(1, "ways"), 50)[:, 0]
    ways = ways[ways[:, 2] < 0]
    numbers = np.zeros((len(ways), coat.COLUMNS))
    matt = Coat(numbers)
    albedo = rng(2, "albedo").uniform(0.1, 0.9, (len(ways), 3))
    matt.albedo[:], matt.normals[:] = albedo, ways
    lamp = Lamp(np.array([0.0, -0.6, -0.8]), np.array([0.5, 0.4, 0.3]), 0.2)
    light, far = Light((lamp,), np.full((2, 3, 3), 0.4), np.eye(3)), np.array([[0.0, 0.0, 500.0]]).repeat(len(ways), 0)

    def shaded(look: Coat, light: Light) -> np.ndarray:
        return shade(np.empty((0, field.COLUMNS)), far, ways, look, light, shadows=False)

    facing = np.maximum(ways @ lamp.direction, 0)[:, None]
    np.testing.assert_allclose(shaded(matt, light), albedo * (0.4 + facing * lamp.color), atol=1e-12)
    # A lamp without light changes nothing: on a GPU such lamps fill up the tables of a batch.
    unlit = replace(light, lamps=(lamp, Lamp(np.zeros(3), np.zeros(3), 0.0)))
    assert np.array_equal(shaded(matt, unlit), shaded(matt, light))
    # What shines is brighter where the lamp is mirrored, and what is thin where it is behind.
    shiny, thin = numbers.copy(), numbers.copy()
    shiny[:, coat.GLOSS], thin[:, coat.THIN] = 1.0, 0.5
    half = (lamp.direction - [0, 0, 1]) / np.linalg.norm(lamp.direction - [0, 0, 1])
    gain = (shaded(Coat(shiny), light) - shaded(matt, light)).min(-1)
    assert gain.min() >= 0
    assert np.argmax(gain) in np.argsort(ways @ half)[-3:]
    behind = ways @ lamp.direction < -0.05
    through = shaded(Coat(thin), light) - shaded(matt, light)
    assert (through[behind] > 0).all()
    assert (through[ways @ lamp.direction > 0] == 0).all()


def test_light_fits_the_place() -> None:
    def mean(color: tuple[float, float, float]) -> np.ndarray:
        place = np.tile(np.array(color), (16, 16, 1))
        return np.mean([white_in(draw_light(rng(n, "light"), place, (0.3, 0.8))) for n in range(40)], axis=0)

    dark, bright = mean((0.03, 0.03, 0.03)), mean((0.6, 0.6, 0.6))
    assert bright @ LUMINANCE > 1.8 * (dark @ LUMINANCE)
    red, blue = mean((0.5, 0.2, 0.1)), mean((0.1, 0.2, 0.5))
    assert red[0] / red[2] > 1.1 * blue[0] / blue[2]
    assert 0.6 < red[0] / red[2] < 2.5  # the camera takes most of the tint for white
    fixed = white_in(fixed_light())
    np.testing.assert_allclose(fixed, fixed[0])


@pytest.mark.parametrize("kind", KINDS)
def test_places_are_pictures_and_follow_their_stream(kind: Kind) -> None:
    images = [draw(rng(seed, kind), kind, draw_palette(rng(seed, "palette")), 40, 56) for seed in (0, 0, 1)]
    for image in images:
        assert image.shape == (40, 56, 3)
        assert image.dtype == np.float32
        assert 0 <= image.min() <= image.max() <= 1
    assert np.array_equal(images[0], images[1])
    assert np.array_equal(images[0], images[2]) == (kind == "plain")
    assert draw(rng(0, kind), kind, draw_palette(rng(0, "palette")), 9, 30).shape == (9, 30, 3)


def test_defocus_spreads_light_and_loses_none() -> None:
    image = np.zeros((31, 31, 3), dtype=np.float32)
    image[15, 15] = 1
    soft = defocused(image, 4.0)
    np.testing.assert_allclose(soft.sum((0, 1)), 1, atol=1e-5)
    v, u = np.nonzero(soft[..., 0])
    assert 3.9 < np.hypot(u - 15, v - 15).max() < 5
    assert defocused(image, 0.0) is image


def test_a_folder_of_pictures_stands_behind_hands(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    write_png(tmp_path / "more" / "b.png", np.full((30, 90, 3), (200, 40, 40), dtype=np.uint8))
    write_jpeg(tmp_path / "a.jpg", np.full((400, 300, 3), (40, 60, 200), dtype=np.uint8))
    (tmp_path / "readme.txt").write_text("no picture")
    firsts = []
    for seed in range(12):
        part = picture(rng(seed, "picture"), str(tmp_path), 24, 40)
        assert part.shape == (24, 40, 3)
        np.testing.assert_allclose(part, np.broadcast_to(part[0, 0], part.shape), atol=0.02)
        assert np.array_equal(part, picture(rng(seed, "picture"), str(tmp_path), 24, 40))
        firsts.append(round(255 * float(part[0, 0, 2])))
    assert {abs(blue - 200) < 5 for blue in firsts} == {True, False}
    looks = Looks(background_folder=str(tmp_path), without=("sensor", "lights"), sleeves=0, held=0, occluders=0)
    sample = next(simulate(small(looks=looks), 0, 1))
    assert sample.rgb is not None
    assert sample.mask is not None
    corner = sample.rgb[cv2.dilate(sample.mask, np.ones((9, 9), dtype=np.uint8)) == 0]
    assert np.ptp(corner, axis=0).max() <= 6
    assert np.ptp(corner.mean(0)) > 60  # red or blue


def test_folders_without_pictures_and_damaged_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no such folder"):
        picture(rng(0, "picture"), str(tmp_path / "nowhere"), 8, 8)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingError, match="expected pictures ending in"):
        picture(rng(0, "picture"), str(tmp_path / "empty"), 8, 8)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    with pytest.raises(DataError, match=r"x\.png"):
        picture(rng(0, "picture"), str(tmp_path / "bad"), 8, 8)


def test_looks_never_move_a_hand() -> None:
    plain = list(simulate(small(), 0, 3))
    other = Looks(without=("backgrounds", "lights", "skins", "sensor"), sleeves=0, held=0, occluders=0, shadows=False)
    for first, second in zip(plain, simulate(small(looks=other), 0, 3), strict=True):
        for name in ("joints_mm", "keypoints_px", "depth_mm", "mask", "visible"):
            assert np.array_equal(getattr(first, name), getattr(second, name), equal_nan=name == "depth_mm"), name
        assert not np.array_equal(first.rgb, second.rgb)  # type: ignore[arg-type]
    dressed = simulate(small(looks=replace_looks(BARE, sleeves=1.0)), 0, 3)
    for first, second in zip(plain, dressed, strict=True):
        assert np.array_equal(first.joints_mm, second.joints_mm)  # type: ignore[arg-type]
        assert first.mask is not None
        assert second.mask is not None
        assert set(np.unique(second.mask[first.mask != second.mask])) <= {OTHER_BODY}


def replace_looks(looks: Looks, **changes: object) -> Looks:
    values = {name: getattr(looks, name) for name in looks.__struct_fields__}
    return Looks(**(values | changes))


def without(*names: Variety) -> SimulatorSettings:
    return small(looks=replace_looks(BARE, without=names), subjects=3)


def test_each_variety_can_be_left_out_by_itself() -> None:
    grey = []
    for sample in simulate(without("backgrounds", "sensor", "lights"), 0, 2):
        assert sample.rgb is not None
        assert sample.mask is not None
        grey.append(sample.rgb[cv2.dilate(sample.mask, np.ones((7, 7), dtype=np.uint8)) == 0])
    assert all(np.ptp(pixels) == 0 for pixels in grey)
    skins = [skin_of(3, subject, without("skins").looks.settled()) for subject in range(2)]
    assert all(np.array_equal(getattr(skins[0], f.name), getattr(skins[1], f.name)) for f in fields(skins[0]))
    varied = [skin_of(3, subject, without().looks.settled()) for subject in range(2)]
    assert not np.array_equal(varied[0].back, varied[1].back)
    # Every variety left out changes pictures, and only pictures.
    usual = next(simulate(without(), 1, 2))
    for name in get_args(Variety):
        changed = next(simulate(without(name), 1, 2))
        assert not np.array_equal(usual.rgb, changed.rgb), name  # type: ignore[arg-type]
        assert np.array_equal(usual.depth_mm, changed.depth_mm, equal_nan=True), name  # type: ignore[arg-type]


def test_frames_of_a_clip_share_place_and_light() -> None:
    settings = small(looks=replace_looks(BARE, without=("sensor",), shadows=False), poses="sequences", clip=4)
    scenes = [draw_scene(settings, index) for index in (0, 1, 4)]
    assert scenes[0].take == scenes[1].take != scenes[2].take
    first, second = list(simulate(settings, 0, 2))
    covered = np.maximum(first.mask, second.mask)  # type: ignore[arg-type]
    free = cv2.dilate(covered, np.ones((9, 9), dtype=np.uint8)) == 0
    # Metering may differ a little with what the hand covers.
    apart = np.abs(first.rgb[free].astype(int) - second.rgb[free])  # type: ignore[index]
    assert free.sum() > 100
    assert np.quantile(apart, 0.99) <= 12


def test_wrong_looks_are_refused_and_right_ones_can_be_set() -> None:
    with pytest.raises(UsageError, match="range"):
        Looks(noise=(0.2, 0.1))
    with pytest.raises(UsageError, match="share"):
        Looks(held=1.5)
    with pytest.raises(UsageError, match="angles"):
        Looks(skin_ita_deg=(-95.0, 20.0))
    with pytest.raises(UsageError, match="background"):
        Looks(backgrounds=())
    chosen = override(SimulatorSettings(), ['looks.without=["skins"]', "looks.held=0.5"])
    assert chosen.looks.without == ("skins",)
    assert chosen.looks.held == 0.5
