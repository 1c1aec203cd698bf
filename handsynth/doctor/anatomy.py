"""Are the joints called by their right names? Every hand has nearly the same proportions, so a wrong order shows.

A labelling is judged by distances that hardly change with the pose: between the corners of the palm and along the
phalanges. Orders that people mistake for the right one are tried; where one of them makes clearly better hands, the
joints are named.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np

from handsynth.doctor.numbers import Evidence
from handsynth.doctor.thresholds import ENOUGH
from handsynth.errors import HandsynthError
from handsynth.formats.manifest import load_manifest, manifest_names
from handsynth.hand.joints import CHAINS, FINGERS, JOINTS, PALM, PHALANGES, J
from handsynth.store.findings import Finding, Status, not_checkable

_PAIRS = (*combinations(PALM, 2), *PHALANGES, *((chain[1], chain[3]) for chain in CHAINS))
# Lengths by palm length (wrist to middle MCP): the mean of the simulator's anatomy (radiographic means of Buryanov
# and Kotiuk, Int. J. Morphol. 2010) and of the real hand of Ge et al. 2019; they differ by 10 % at most places.
# fmt: off
_TYPICAL = np.array([
    0.394, 1.037, 1, 0.94, 0.954, 0.766, 0.819, 0.851, 0.943, 0.277,
    0.526, 0.762, 0.267, 0.514, 0.256, 0.499, 0.398, 0.319, 0.485, 0.288,
    0.267, 0.558, 0.335, 0.274, 0.52, 0.326, 0.261, 0.38, 0.235, 0.236,
    0.704, 0.539, 0.585, 0.564, 0.446,
])
# fmt: on
_CAP = 1.0
"""Largest |log of a length over its typical one| that counts: one joint that is far off is not all."""
_BETTER, _MOST = 0.75, 0.8
"""Another order is taken for the right one where it costs at most this share, in at least this share of samples."""
_FEW = 0.05
"""Share of samples whose joints look swapped from which on it is a warning."""


@dataclass(frozen=True, eq=False)
class Order:
    """A way to take the joints: ``joints[:, gather]``, and words that complete "the joints look right if ..."."""

    words: str
    gather: np.ndarray


def check_order(
    evidence: Evidence, rows: np.ndarray, joints_mm: np.ndarray, source: str = ""
) -> tuple[Finding, Order | None]:
    """Whether a usual mistake in the order of joints makes better hands than the order as it is; and which.

    Args:
        rows: (N,) the rows that the joints are of.
        joints_mm: (N, 21, 3) labelled joints, NaN elsewhere.
        source: name of a dataset whose manifest says how its own order goes.
    """
    name = "joint order"
    joints = joints_mm.copy()
    if evidence.palm_root:
        joints[:, 0] = np.nan
    lengths = np.linalg.norm(joints[:, :, None] - joints[:, None], axis=-1)
    lengths[lengths == 0] = 1e-6
    known = np.isfinite(_costs(lengths, [np.arange(J)])[:, 0])
    if known.sum() < ENOUGH:
        return not_checkable(name, f"fewer than {ENOUGH} samples with enough labelled joints"), None
    rows, lengths = rows[known], lengths[known]
    # A joint that the source lacks cannot have been taken for another one.
    there = np.isfinite(joints).all(-1).mean(0) > 0.5
    orders = [order for order in (*swaps(), *mixups(source)) if there[order.gather[there]].all()]
    singles = np.array([order in swaps() for order in orders])
    costs = _costs(lengths, [np.arange(J), *(order.gather for order in orders)])
    own, tried = costs[:, 0], costs[:, 1:]
    better = tried < _BETTER * own[:, None] - 0.005
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an order that no sample can say anything of
        mean, agree = np.nanmean(tried, axis=0), better.mean(0)
    mean = np.where((agree >= _MOST) & (mean < _BETTER * np.nanmean(own)), mean, np.inf)
    best = int(np.argmin(mean))
    single = better[:, singles].any(1)
    off = np.zeros(len(evidence.scores.known), dtype=bool)
    badness = np.zeros(len(off))
    status: Status = "ok"
    right: Order | None = None
    text = "the joints lie in the order of fingers and knuckles"
    if np.isfinite(mean[best]):
        status, right = "fault", orders[best]
        text = f"the hands' proportions are right only if {right.words}"
        bad = better[:, best]
    else:
        bad = single & ~evidence.scores.marked[rows]
        if bad.mean() > _FEW:
            status = "warning"
            usual = orders[int(np.argmax(np.where(singles, agree, -1)))].words
            text = f"in {100 * bad.mean():.1f} % of {len(rows)} samples joints look swapped, mostly: {usual}"
        else:
            bad &= False
    off[rows[bad]] = True
    badness[rows] = own
    return evidence.finding(name, status, text, off, badness), right


def _costs(lengths: np.ndarray, gathers: list[np.ndarray]) -> np.ndarray:
    """(N, P) how unlike a hand the joints are in P orders, from (N, 21, 21) distances; NaN where too few are known."""
    out = np.full((len(lengths), len(gathers)), np.nan)
    first, second = np.array(_PAIRS).T
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for position, gather in enumerate(gathers):
            logs = np.log(lengths[:, gather[first], gather[second]] / _TYPICAL)
            logs -= np.nanmedian(logs, axis=1, keepdims=True)
            cost = np.nanmean(np.minimum(np.abs(logs), _CAP), axis=1)
            enough = np.isfinite(logs).sum(1) >= 10
            out[enough, position] = cost[enough]
    return out


@cache
def swaps() -> tuple[Order, ...]:
    """Every two joints taken for each other."""

    def swapped(a: int, b: int) -> Order:
        gather = np.arange(J)
        gather[[a, b]] = b, a
        return Order(f"{JOINTS[a]} and {JOINTS[b]} are swapped", gather)

    return tuple(swapped(a, b) for a, b in combinations(range(J), 2))


@cache
def mixups(source: str = "") -> tuple[Order, ...]:
    """Whole fingers taken for each other or back to front, other datasets' orders, gather for scatter."""
    chains = [list(chain) for chain in CHAINS]
    orders = []

    def add(words: str, fingers: list[list[int]]) -> None:
        orders.append(Order(words, np.array([0, *(joint for chain in fingers for joint in chain)])))

    back = [chain[::-1] for chain in chains]
    add("the joints of every finger are taken from tip to base", back)
    add("the fingers are taken from pinky to thumb", chains[::-1])
    add("the fingers are taken from pinky to thumb, each from tip to base", back[::-1])
    add("the thumb is taken to be the last finger", [*chains[1:], chains[0]])
    add("the thumb is taken to be the first finger, not the last", [chains[-1], *chains[:-1]])
    add("the long fingers are taken from pinky to index", [chains[0], *chains[:0:-1]])
    for finger in range(5):
        turned = [*chains[:finger], back[finger], *chains[finger + 1 :]]
        add(f"the joints of the {FINGERS[finger]} are taken from tip to base", turned)
    for a, b in combinations(range(5), 2):
        exchanged = list(chains)
        exchanged[a], exchanged[b] = chains[b], chains[a]
        add(f"{FINGERS[a]} and {FINGERS[b]} are swapped", exchanged)
    known = dict(_source_orders())
    own = known.pop(source, None)
    if own is not None:
        orders.append(Order(f"they are in {source}'s own order, which was not brought to ours", own))
        orders.append(Order("the list of joints is used to gather instead of to scatter", own[own]))
    for name, order in known.items():
        orders.append(Order(f"they are in the order of {name}", order))
    # Several names of one order say no more than the first; and the order as it is is no mistake.
    unlike = {order.gather.tobytes(): order for order in reversed(orders)}
    unlike.pop(np.arange(J).tobytes(), None)
    return tuple(reversed(unlike.values()))


def _source_orders() -> list[tuple[str, np.ndarray]]:
    """Orders of the datasets that store all 21 places in some order, a palm centre in the wrist's."""
    found = []
    for name in manifest_names():
        try:
            joints = load_manifest(name).joints
        except HandsynthError:
            continue
        if len(joints) == J and sum(joint in JOINTS for joint in joints) >= J - 1:
            order = load_manifest(name).order.copy()
            if (order < 0).any():
                order[order < 0] = next(place for place in range(J) if place not in order)
            if sorted(order.tolist()) == list(range(J)):
                found.append((name, order))
    return found
