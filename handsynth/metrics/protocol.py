"""How a pose error is computed: what is given, how poses are aligned, which joints count. No number without one."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8

from handsynth.errors import UsageError, sentence
from handsynth.hand.joints import INDEX, JOINTS
from handsynth.hand.sample import ABSENT, LABELLED
from handsynth.runtime.settings import Settings

ROOT = "wrist"
SCALE_BONE = ("middle_mcp", "middle_pip")
"""Root joint and scale bone of every relative depth: the wrist, and the bone of Hand3D (Zimmermann, ICCV 2017)."""


class Protocol(Settings, frozen=True, kw_only=True):
    """One way to compare predicted with true joints, in millimetres of the camera frame (x right, y down, z forward).

    The default: the true root and the true length of the scale bone are given, poses are compared in camera space as
    they are, joints that were derived from other labels are left out. Under it the mean pose errs by 51.9 mm on
    ge_realworld (rows 0-199 against 300-439).
    """

    unit: Literal["mm"] = "mm"
    frame: Literal["camera"] = "camera"
    root: str = ROOT
    """Joint whose true place is given, and that ``alignment = "root"`` brings together."""
    scale_bone: tuple[str, str] = SCALE_BONE
    root_given: bool = True
    """Whether a prediction may use the true camera z (a baseline: the true place) of the root."""
    scale_given: bool = True
    """Whether a prediction may use the true length of the scale bone."""
    alignment: Literal["none", "root", "procrustes"] = "none"
    """none: compare as they are; root: after moving root onto root; procrustes: after the best similarity."""
    joints: Literal["labelled", "all"] = "labelled"
    """labelled: joints derived from other labels (STB's wrist, say) do not count."""
    pck_mm: tuple[float, float, int] = (0.0, 50.0, 20)
    """First, last and number of the evenly spaced thresholds of the PCK curve."""

    def __post_init__(self) -> None:
        for name in (self.root, *self.scale_bone):
            if name not in INDEX:
                raise UsageError(sentence(f"one of the joints {', '.join(JOINTS)}", repr(name), "the protocol"))
        first, last, count = self.pck_mm
        if not (0 <= first < last and count >= 2):
            raise UsageError(
                sentence("0 <= first < last and two thresholds or more", str(self.pck_mm), "pck_mm of the protocol")
            )

    def describe(self) -> str:
        """One line to stand beside every table."""
        given = [
            text
            for text, is_given in (
                (f"true root ({self.root})", self.root_given),
                (f"true scale ({' to '.join(self.scale_bone)})", self.scale_given),
            )
            if is_given
        ]
        alignment = {
            "none": "no alignment",
            "root": f"aligned at the {self.root}",
            "procrustes": "aligned by the best similarity (Procrustes)",
        }[self.alignment]
        counted = {"labelled": "labelled joints only", "all": "labelled and derived joints"}[self.joints]
        return f"{self.unit}, {self.frame} space, {' and '.join(given) or 'nothing'} given, {alignment}, {counted}"

    def thresholds_mm(self) -> np.ndarray:
        """Thresholds of the PCK curve."""
        return np.linspace(*self.pck_mm)


def root_mm(joints_mm: Float[np.ndarray, "N 21 3"], protocol: Protocol) -> Float[np.ndarray, "N 1 3"]:
    """Place of the root joint; NaN where it is not known."""
    at = INDEX[protocol.root]
    return joints_mm[:, at : at + 1]


def scale_mm(joints_mm: Float[np.ndarray, "N 21 3"], protocol: Protocol) -> Float[np.ndarray, " N"]:
    """Length of the scale bone; NaN where one of its ends is not known."""
    base, end = (INDEX[name] for name in protocol.scale_bone)
    return np.linalg.norm(joints_mm[:, end] - joints_mm[:, base], axis=-1)


def counted_joints(
    truth_mm: Float[np.ndarray, "N 21 3"], state: UInt8[np.ndarray, "N 21"], protocol: Protocol
) -> Bool[np.ndarray, "N 21"]:
    """Which joints a score may count: those the protocol names, in hands whose given root and scale are known.

    Args:
        truth_mm: NaN where a joint is absent.
        state: ``joint_state`` of the samples: 0 absent, 1 labelled, 2 derived.
    """
    named = state == LABELLED if protocol.joints == "labelled" else state != ABSENT
    counted = named & np.isfinite(truth_mm).all(-1)
    if protocol.root_given or protocol.alignment == "root":
        counted &= np.isfinite(root_mm(truth_mm, protocol)).all(-1)
    if protocol.scale_given:
        counted &= np.isfinite(scale_mm(truth_mm, protocol))[:, None]
    return counted


def lift(
    keypoints_px: Float[np.ndarray, "N 21 2"],
    relative_depth: Float[np.ndarray, "N 21"],
    camera: Float[np.ndarray, "N 4"],
    truth_mm: Float[np.ndarray, "N 21 3"],
    protocol: Protocol,
) -> Float[np.ndarray, "N 21 3"]:
    """What an estimator says, put into camera space with the true root depth and the true scale.

    z = z_root + (depth - depth of the root) x scale, and (x, y) from the pixel through the camera. The predicted
    depth of the root is taken off so that any root may be chosen.

    Args:
        keypoints_px: predicted, pixel centres at integers.
        relative_depth: predicted, in lengths of :data:`SCALE_BONE`.
        camera: fx, fy, cx, cy of the same pixels.
        truth_mm: true joints, labelled or derived; only the root's z and the scale bone are read.

    Returns:
        Joints in mm, float64; NaN for hands whose root or scale is not known.

    Raises:
        UsageError: the protocol withholds what lifting needs, or scales by another bone.
    """
    if not (protocol.root_given and protocol.scale_given and tuple(protocol.scale_bone) == SCALE_BONE):
        raise UsageError(
            sentence(
                f"a protocol that gives the root and the scale bone {' to '.join(SCALE_BONE)}",
                f"one with {protocol.describe()}",
                "the lifting of predicted depths",
            )
        )
    at = INDEX[protocol.root]
    depth = relative_depth.astype(np.float64)
    camera = camera.astype(np.float64)
    z = truth_mm[:, at, 2:] + (depth - depth[:, at : at + 1]) * scale_mm(truth_mm, protocol)[:, None]
    xy = (keypoints_px - camera[:, None, 2:]) / camera[:, None, :2] * z[..., None]
    return np.concatenate([xy, z[..., None]], axis=-1)


def relative_depth(joints_mm: Float[np.ndarray, "N 21 3"]) -> Float[np.ndarray, "N 21"]:
    """What an estimator should say of true joints: (z - z of :data:`ROOT`) / length of :data:`SCALE_BONE`.

    Hand3D's and DGGAN's normalisation.
    """
    protocol = Protocol()
    z = joints_mm[..., 2].astype(np.float64)
    return (z - z[:, INDEX[ROOT], None]) / scale_mm(joints_mm, protocol)[:, None]
