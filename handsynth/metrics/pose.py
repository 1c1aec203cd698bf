"""Scores of predicted joints: EPE, PCK, AUC under four names, and the trivial answers every table shows.

N hands, J = 21 joints. Each score is taken per joint over all hands and then averaged over joints, as Hand3D's
evaluation does (Zimmermann, ICCV 2017); joints that nowhere count are left out. Errors are NaN where not counted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from handsynth.errors import DataError, sentence
from handsynth.hand.joints import JOINTS
from handsynth.hand.pose import bone_lengths
from handsynth.metrics.protocol import Protocol, root_mm, scale_mm

PIXEL_THRESHOLDS = (0.0, 30.0, 20)
"""First, last and number of the thresholds of ``auc_0_30px``, the number MM-Hand's code reports as PCKb."""


def errors_mm(
    predicted: Float[np.ndarray, "N J D"], truth: Float[np.ndarray, "N J D"], counted: Bool[np.ndarray, "N J"]
) -> Float[np.ndarray, "N J"]:
    """Distance of each joint, NaN where it is not counted; in pixels if the points are.

    Raises:
        DataError: a counted joint was predicted, or is known, only as NaN or infinity.
    """
    for name, points in (("predicted", predicted), ("true", truth)):
        lost = counted & ~np.isfinite(points).all(-1)
        if lost.any():
            hands = np.flatnonzero(lost.any(-1))
            raise DataError(
                sentence(
                    f"finite {name} joints",
                    f"{int(lost.sum())} that are not, the first in hand {hands[0]}",
                    f"{len(hands)} of {len(counted)} hands",
                    "leave those joints out or mend the system that made them",
                )
            )
    distances = np.linalg.norm(predicted.astype(np.float64) - truth.astype(np.float64), axis=-1)
    return np.where(counted, distances, np.nan)


def epe(errors: Float[np.ndarray, "N J"]) -> tuple[float, float]:
    """(mean, median) end-point error: each per joint over hands, then the mean over joints."""
    errors = _known_columns(errors)
    return float(np.nanmean(errors, axis=0).mean()), float(np.nanmedian(errors, axis=0).mean())


def pck_curve(errors: Float[np.ndarray, "N J"], thresholds: Float[np.ndarray, " T"]) -> pd.Series:
    """Share of correct keypoints, error <= threshold, indexed by threshold."""
    return pd.Series(_pck(errors, thresholds).mean(1), index=pd.Index(thresholds, name="threshold"), name="pck")


def auc(errors: Float[np.ndarray, "N J"], thresholds: Float[np.ndarray, " T"]) -> float:
    """Area under each joint's PCK curve by trapezoids, divided by the span of thresholds; mean over joints."""
    share = _pck(errors, thresholds)
    return float(np.trapezoid(share, thresholds, axis=0).mean() / (thresholds[-1] - thresholds[0]))


def auc_0_50(errors: Float[np.ndarray, "N J"]) -> float:
    """0 to 50 mm in 20 steps (Hand3D)."""
    return auc(errors, np.linspace(0, 50, 20))


def auc_20_50_tail(errors: Float[np.ndarray, "N J"]) -> float:
    """The last twelve of those twenty thresholds, 21.05 to 50 mm (Hand3D's "20-50"); the default."""
    return auc(errors, np.linspace(0, 50, 20)[8:])


def auc_20_50_cdf(errors: Float[np.ndarray, "N J"]) -> float:
    """The empirical distribution of all errors at the errors within [20, 50) mm (the DGGAN author's "20-50").

    Trapezoids between the errors themselves, divided by their span; hands and joints in one pool. Where no two
    different errors lie in between, the share of errors below 20 mm (the limit).
    """
    pool = np.sort(errors[np.isfinite(errors)])
    share = np.arange(1, len(pool) + 1) / len(pool)
    first, last = np.searchsorted(pool, [20.0, 50.0])
    inside = slice(int(first), int(last))
    span = pool[inside][-1] - pool[inside][0] if last - first > 1 else 0.0
    if span == 0:
        return float(first / len(pool))
    return float(np.trapezoid(share[inside], pool[inside]) / span)


def auc_0_30px(errors_px: Float[np.ndarray, "N J"]) -> float:
    """0 to 30 px of a 256 px crop in 20 steps (MM-Hand's code)."""
    return auc(errors_px, np.linspace(*PIXEL_THRESHOLDS))


def pckb(errors_px: Float[np.ndarray, "N J"], truth_px: Float[np.ndarray, "N J 2"]) -> float:
    """Share of joints within 2/3 of their frame's mean 2-D bone length, inclusive (MM-Hand's text; its code differs).

    The mean is over the known bones; joints of a frame without any do not count.
    """
    lengths = bone_lengths(truth_px.astype(np.float64))
    known = np.isfinite(lengths)
    total, count = np.where(known, lengths, 0.0).sum(-1), known.sum(-1)
    reach = np.divide(2 * total, 3 * count, out=np.full(len(lengths), np.nan), where=count > 0)[:, None]
    within = np.where(np.isnan(errors_px) | np.isnan(reach), np.nan, errors_px <= reach)
    return float(np.nanmean(_known_columns(within), axis=0).mean())


def per_joint(errors: Float[np.ndarray, "N 21"]) -> pd.DataFrame:
    """Table by joint name: how many hands count, mean and median error, AUC (20-50 tail); NaN where none counts."""
    rows = []
    for joint in range(len(JOINTS)):
        column = errors[:, joint : joint + 1]
        known = int(np.isfinite(column).sum())
        mean, median = epe(column) if known else (np.nan, np.nan)
        rows.append((known, mean, median, auc_20_50_tail(column) if known else np.nan))
    return pd.DataFrame(
        rows, index=pd.Index(JOINTS, name="joint"), columns=["hands", "epe_mean_mm", "epe_median_mm", "auc_20_50_tail"]
    )


def scores(
    predicted: Float[np.ndarray, "N 21 3"],
    truth: Float[np.ndarray, "N 21 3"],
    counted: Bool[np.ndarray, "N 21"],
    protocol: Protocol,
) -> dict[str, Any]:
    """All 3-D scores of one set of predictions, with the line that says how they came about.

    Args:
        predicted, truth: camera frame, mm.
        counted: from :func:`~handsynth.metrics.protocol.counted_joints`.

    Raises:
        DataError: nothing counts, or a counted joint is not finite.
    """
    if not counted.any():
        raise DataError(sentence("joints that count", "none", f"{len(counted)} hands", protocol.describe()))
    errors = errors_mm(align(predicted, truth, counted, protocol), truth, counted)
    mean, median = epe(errors)
    return {
        "epe_mean_mm": mean,
        "epe_median_mm": median,
        "auc_20_50_tail": auc_20_50_tail(errors),
        "auc_20_50_cdf": auc_20_50_cdf(errors),
        "auc_0_50": auc_0_50(errors),
        "hands": int(counted.any(1).sum()),
        "joints": int(counted.sum()),
        "protocol": protocol.describe(),
    }


def align(
    predicted: Float[np.ndarray, "N 21 3"],
    truth: Float[np.ndarray, "N 21 3"],
    counted: Bool[np.ndarray, "N 21"],
    protocol: Protocol,
) -> Float[np.ndarray, "N 21 3"]:
    """Predictions moved as the protocol's alignment says; Procrustes over the counted joints, without reflection."""
    if protocol.alignment == "none":
        return predicted
    if protocol.alignment == "root":
        return predicted - root_mm(predicted, protocol) + root_mm(truth, protocol)
    weight = counted[..., None].astype(np.float64)
    total = np.maximum(weight.sum(1, keepdims=True), 1)
    source, target = np.where(weight > 0, predicted, 0.0), np.where(weight > 0, truth, 0.0)
    source_mean, target_mean = source.sum(1, keepdims=True) / total, target.sum(1, keepdims=True) / total
    source, target = (source - source_mean) * weight, (target - target_mean) * weight
    u, stretch, vt = np.linalg.svd(source.transpose(0, 2, 1) @ target)
    # The smallest direction is turned over where the best fit would be a reflection.
    sign = np.ones_like(stretch)
    sign[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * sign[:, None]) @ vt
    spread = np.maximum((source**2).sum((1, 2)), 1e-12)
    scale = (stretch * sign).sum(1) / spread
    return scale[:, None, None] * (predicted - source_mean) @ rotation + target_mean


def mean_pose(
    train_mm: Float[np.ndarray, "T 21 3"], truth_mm: Float[np.ndarray, "N 21 3"], protocol: Protocol
) -> Float[np.ndarray, "N 21 3"]:
    """Trivial answer: the mean training pose at the true root and scale, for every hand the same.

    Training poses are moved to their root and divided by their scale as far as the protocol gives those.

    Raises:
        DataError: no training pose has the root and the scale bone, or a joint is in none.
    """
    template = _templates(train_mm, protocol)
    if not np.isfinite(template).any(0).all():
        raise DataError(sentence("every joint in some training pose", "joints in none", f"{len(train_mm)} poses"))
    return _placed(np.nanmean(template, axis=0, keepdims=True), truth_mm, protocol)


def nearest_training_pose_oracle(
    train_mm: Float[np.ndarray, "T 21 3"], truth_mm: Float[np.ndarray, "N 21 3"], protocol: Protocol
) -> Float[np.ndarray, "N 21 3"]:
    """Lower bound of retrieval: for each hand the training pose nearest to the **true** pose, at true root and scale.

    An oracle, since it looks at the answer: no system that only picks among the training poses can do better in
    this distance (Euclidean over the joints known in both, after the protocol's root and scale are taken out).

    Raises:
        DataError: no training pose has all joints.
    """
    template = _templates(train_mm, protocol)
    whole = template[np.isfinite(template).all((1, 2))].reshape(-1, 63)
    if len(whole) == 0:
        raise DataError(sentence("training poses with all 21 joints", "none", f"{len(train_mm)} poses"))
    wanted = _templates(truth_mm, protocol, keep=True).reshape(len(truth_mm), 63)
    known = np.isfinite(wanted).astype(np.float64)
    wanted = np.where(known > 0, wanted, 0.0)
    nearest = np.empty(len(wanted), dtype=np.int64)
    for start in range(0, len(wanted), 1024):  # bounds the memory of the distance table
        rows = slice(start, start + 1024)
        nearest[rows] = (known[rows] @ (whole**2).T - 2 * wanted[rows] @ whole.T).argmin(1)
    return _placed(whole[nearest].reshape(-1, 21, 3), truth_mm, protocol)


def _templates(joints_mm: np.ndarray, protocol: Protocol, keep: bool = False) -> np.ndarray:
    """Poses with root and scale taken out as far as the protocol gives them; hands without them dropped or NaN."""
    poses = joints_mm.astype(np.float64)
    if protocol.root_given:
        poses = poses - root_mm(poses, protocol)
    if protocol.scale_given:
        poses = poses / scale_mm(joints_mm.astype(np.float64), protocol)[:, None, None]
    return poses if keep else poses[np.isfinite(poses).any((1, 2))]


def _placed(template: np.ndarray, truth_mm: np.ndarray, protocol: Protocol) -> np.ndarray:
    truth = truth_mm.astype(np.float64)
    placed = np.repeat(template, len(truth), axis=0) if len(template) == 1 else template
    if protocol.scale_given:
        placed = placed * scale_mm(truth, protocol)[:, None, None]
    return placed + root_mm(truth, protocol) if protocol.root_given else placed


def _pck(errors: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """(T, J') share of each joint's counted errors at or below each threshold."""
    errors = _known_columns(errors)
    known = np.isfinite(errors).sum(0)
    return np.stack([(errors <= threshold).sum(0) / known for threshold in thresholds])


def _known_columns(errors: np.ndarray) -> np.ndarray:
    """Joints that count in at least one hand."""
    return errors[:, np.isfinite(errors).any(0)]
