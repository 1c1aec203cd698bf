"""The usual mistakes of people who read a hand dataset, each as what would mend it.

A :class:`Mistake` mends labels; where the mended labels agree with images and with each other and those as they are do
not, its words say what is wrong. The order is that of preference: what is commonest and says most comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from handsynth.doctor.labels import Labels
from handsynth.doctor.numbers import UNITS
from handsynth.formats.manifest import Manifest
from handsynth.hand.camera import Camera, RigidTransform

Mend = Callable[[Labels], Labels]

AS_IT_IS = "nothing is changed"
NEXT = "the labels of the next frame are taken (frame numbers are off by one)"
PREVIOUS = "the labels of the previous frame are taken (frame numbers are off by one)"
_FLIPS = (
    ("y is negated (y runs up in the source)", (1, -1, 1)),
    ("y and z are negated (the source's camera looks along -z)", (1, -1, -1)),
    ("z is negated (z runs backward in the source)", (1, 1, -1)),
    ("x is negated (the labels are mirrored)", (-1, 1, 1)),
)
_FOCAL = (0.5, 0.65, 0.8, 1.0, 1.25, 1.5, 2.0)
_SHIFTS = (-0.08, -0.04, 0.0, 0.04, 0.08)
"""Of the image's width."""


@dataclass(frozen=True)
class Mistake:
    """What would mend the labels.

    Attributes:
        words: complete "the labels agree with the images if ...".
        mend: labels as they would be; may hold NaN where it cannot say.
        coarse: from a grid, to be believed only where nothing else explains a fault.
    """

    words: str
    mend: Mend
    coarse: bool = False


@dataclass(frozen=True)
class Move:
    """What would lay depth over colour: a rigid move of its points, and the colour camera to see them with."""

    words: str
    rigid: RigidTransform
    camera: Camera | None = None


def mistakes(manifest: Manifest | None, *, cropped: bool, own_crops: bool = False) -> list[Mistake]:
    """All mistakes to try; the first changes nothing.

    Args:
        manifest: knows the source's transforms and other cameras.
        cropped: whether cameras are those of crops, so that published ones say nothing about them.
        own_crops: whether they were cropped around these very labels, so that a camera belongs to its image; a
            publisher's belongs to the labels.
    """
    found = [Mistake(AS_IT_IS, lambda labels: labels)]
    found += [Mistake(words, _scaled(np.array(signs))) for words, signs in _FLIPS]
    found += [Mistake(_unit_words(unit), _scaled(np.full(3, times))) for unit, times in UNITS.items()]
    for words, signs in _FLIPS:
        for unit, times in UNITS.items():
            found.append(Mistake(f"{words} and {_unit_words(unit)}", _scaled(np.array(signs) * times)))
    found.append(Mistake("left and right are exchanged (the hands are mirrored or called by the other side)", _renamed))
    found.append(
        Mistake("the rows of the left and the right hand are swapped back", lambda labels: _taken(labels, labels.other))
    )
    found.append(Mistake(NEXT, lambda labels: _taken(labels, labels.next, not own_crops)))
    found.append(Mistake(PREVIOUS, lambda labels: _taken(labels, labels.previous, not own_crops)))
    found += [Mistake(words, _moved(rigid)) for words, rigid in transforms(manifest)]
    for name in manifest.transforms if manifest is not None else ():
        assert manifest is not None
        move = manifest.transform(name)
        for words, signs in _FLIPS:
            for there, back in ((move, move.inverse()), (move.inverse(), move)):
                mend = _flipped(there, np.array(signs), back)
                found.append(Mistake(f"{words} before the extrinsics {name} are applied", mend))
    found.append(Mistake("the camera's extrinsics are applied, which were left out", _from_world(inverse=True)))
    found.append(Mistake("the camera's extrinsics are applied the other way round", _from_world(inverse=True, times=2)))
    found.append(Mistake("the camera's extrinsics are applied once less", _from_world(inverse=False)))
    if not cropped:
        for name, camera in (manifest.cameras if manifest else {}).items():
            found.append(Mistake(f"they are projected with the camera {name} of the manifest", _through(camera)))
        found.append(Mistake("the principal point's x and y are exchanged", _principal(swap=True)))
        found.append(Mistake("the principal point is the image's centre", _principal(swap=False)))
    return found + list(_intrinsics())


def transforms(manifest: Manifest | None) -> Iterator[tuple[str, RigidTransform]]:
    """What the source's rigid transforms could have done wrong, as moves that undo it."""
    for name, _ in (manifest.transforms if manifest else {}).items():
        assert manifest is not None
        forth = manifest.transform(name)
        back = forth.inverse()
        for move in (forth, back):
            yield f"the extrinsics {name} are applied the other way round", move.compose(move)
        for move in (forth, back):
            yield f"the extrinsics {name} are applied, which were left out (or once less)", move


def moves(manifest: Manifest | None, *, cropped: bool) -> list[Move]:
    """Moves of registered depth to try."""
    stay = RigidTransform.of(np.eye(3), np.zeros(3))
    found = [Move(words, rigid) for words, rigid in transforms(manifest)]
    for name, camera in (manifest.cameras if manifest and not cropped else {}).items():
        found.append(Move(f"colour is seen with the camera {name} of the manifest", stay, camera))
    return found


def fit_intrinsics(labels: Labels) -> tuple[float, str]:
    """Median px that remain between projected and labelled 2-D joints if every image had the camera that fits best,
    and words about how that camera differs from the one given. NaN where nothing can be fitted."""
    joints, pixels, cameras = labels.joints_mm, labels.keypoints_px, labels.cameras
    with np.errstate(divide="ignore", invalid="ignore"):
        rays = np.where(joints[..., 2:] > 0, joints[..., :2] / joints[..., 2:], np.nan)
    known = np.isfinite(rays).all(-1) & np.isfinite(pixels).all(-1)
    focal, center, rest = [], [], []
    for ray, pixel, use, camera in zip(rays, pixels, known, cameras, strict=True):
        if use.sum() < 8 or not np.isfinite(camera).all():
            continue
        rise, run = pixel[use] - pixel[use].mean(0), ray[use] - ray[use].mean(0)
        slope = (rise * run).sum(0) / np.maximum((run**2).sum(0), 1e-12)
        offset = pixel[use].mean(0) - slope * ray[use].mean(0)
        rest.append(np.linalg.norm(ray[use] * slope + offset - pixel[use], axis=-1))
        focal.append(slope / camera[:2])
        center.append(offset - camera[2:4])
    if not rest:
        return float("nan"), ""
    factor = np.median(focal, axis=0)
    spread, shift = np.ptp(np.percentile(focal, [10, 90], axis=0), axis=0).max(), np.median(center, axis=0)
    if (factor <= 0.2).any():
        return float("nan"), ""
    said = []
    if np.abs(factor - 1).max() > 0.01 or spread > 0.02:
        each = ", and differs from image to image" if spread > 0.02 else ""
        said.append(f"the focal length is {factor[0]:.3f} (x) and {factor[1]:.3f} (y) times as long{each}")
    if np.abs(shift).max() > 1:
        said.append(f"the principal point lies {shift[0]:+.1f} px (x) and {shift[1]:+.1f} px (y) from the given one")
    words = "the intrinsics are those of another camera: " + " and ".join(said or ["slightly different ones"])
    return float(np.median(np.concatenate(rest))), words


def _scaled(factors: np.ndarray) -> Mend:
    return lambda labels: replace(
        labels, joints_mm=labels.joints_mm * factors, all_joints_mm=labels.all_joints_mm * factors
    )


def _unit_words(unit: str) -> str:
    return f"they are taken to be in {unit}"


def _renamed(labels: Labels) -> Labels:
    return replace(labels, sign=-labels.sign)


def _taken(labels: Labels, others: Labels | None, with_camera: bool = False) -> Labels:
    """The labels with other samples' joints, and their cameras where they come along."""
    if others is None:
        return labels.moved(np.full(labels.joints_mm.shape, np.nan))
    taken = labels.moved(others.joints_mm)
    return replace(taken, cameras=others.cameras) if with_camera else taken


def _moved(rigid: RigidTransform) -> Mend:
    return lambda labels: replace(
        labels, joints_mm=rigid.apply(labels.joints_mm), all_joints_mm=rigid.apply(labels.all_joints_mm)
    )


def _flipped(there: RigidTransform, signs: np.ndarray, back: RigidTransform) -> Mend:
    """Signs changed in the frame that labels were stored in."""

    def flip(joints_mm: np.ndarray) -> np.ndarray:
        return back.apply(there.apply(joints_mm) * signs)

    return lambda labels: replace(labels, joints_mm=flip(labels.joints_mm), all_joints_mm=flip(labels.all_joints_mm))


def _from_world(inverse: bool, times: int = 1) -> Mend:
    def mend(labels: Labels) -> Labels:
        turn = labels.world_from_camera[:, :9].reshape(-1, 3, 3)
        shift = labels.world_from_camera[:, None, 9:]
        joints = labels.joints_mm
        for _ in range(times):
            joints = (joints - shift) @ turn if inverse else joints @ turn.transpose(0, 2, 1) + shift
        return labels.moved(joints)

    return mend


def _through(camera: Camera) -> Mend:
    def mend(labels: Labels) -> Labels:
        cameras = labels.cameras.copy()
        same = (cameras[:, -2:] == (camera.width, camera.height)).all(1)
        cameras[~same] = np.nan
        bent = (*camera.distortion, 0.0, 0.0, 0.0, 0.0, 0.0)[:5]
        cameras[same, :9] = (camera.fx, camera.fy, camera.cx, camera.cy, *bent)
        return replace(labels, cameras=cameras)

    return mend


def _principal(swap: bool) -> Mend:
    def mend(labels: Labels) -> Labels:
        cameras = labels.cameras.copy()
        cameras[:, 2:4] = cameras[:, 3:1:-1] if swap else (cameras[:, -2:] - 1) / 2
        return replace(labels, cameras=cameras)

    return mend


def _intrinsics() -> Iterator[Mistake]:
    """A focal length and a principal point from a coarse grid, for cameras that nobody has heard of."""

    def mend_by(factor: float, x: float, y: float) -> Mend:
        def mend(labels: Labels) -> Labels:
            cameras = labels.cameras.copy()
            cameras[:, :2] *= factor
            cameras[:, 2] += x * cameras[:, -2]
            cameras[:, 3] += y * cameras[:, -2]
            return replace(labels, cameras=cameras)

        return mend

    for factor in _FOCAL:
        for x in _SHIFTS:
            for y in _SHIFTS:
                said: Sequence[str] = [
                    *([f"the focal length is about {factor:g} times as long"] if factor != 1 else []),
                    *([f"the principal point lies about {100 * x:+g} % of the width off in x"] if x else []),
                    *([f"the principal point lies about {100 * y:+g} % of the width off in y"] if y else []),
                ]
                if said:
                    words = f"the intrinsics are those of another camera: {' and '.join(said)}"
                    yield Mistake(words, mend_by(factor, x, y), coarse=True)
