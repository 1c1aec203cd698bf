"""How a report words its numbers: headers with units, decimals, places, protocols, and the notes below a table."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from handsynth.reports.arms import Arm, Place

DASH = "\N{EN DASH}"
"""What stands for a missing value, and between the ends of a range."""

_UPPER = ("auc", "epe", "fid", "iou", "is", "l1", "l2", "lpips", "mae", "mpjpe", "mse", "pck", "psnr", "rmse", "ssim")
_ACRONYMS = {word: word.upper() for word in _UPPER} | {"pckb": "PCKb"}
_UNITS = {"mm": "mm", "px": "px", "cm": "cm", "m": "m", "db": "dB"}
_ORDER = ("epe", "auc", "pck", "pckb", "l1", "mae", "l2", "mse", "psnr", "ssim", "is", "fid", "frechet")
_OF = ("fidelity", "hand", "mask")
"""What a score's name may begin with: a variant stands beside the score that it is one of."""


def markdown(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\|<>*_`\[\]])", r"\\\1", text)


def score_label(score: str, threshold_unit: str = "mm") -> str:
    """Column header of a score's name: ``epe_mean_mm`` is ``EPE mean (mm)``, ``auc_20_50_tail`` ``AUC 20-50 mm, tail``.

    The unit is the name's own ending; errors, AUC and PCK without one take the unit of the thresholds.
    """
    tokens = re.findall(r"\d+(?:\.\d+)?|[a-z][a-z0-9]*", score.lower())
    if not tokens or not re.fullmatch(r"[a-z0-9_.]+", score.lower()):
        return score
    numbers = [token for token in tokens if token[0].isdigit()]
    units = [token for token in tokens[1:] if token in _UNITS]
    words = [token for token in tokens if token not in numbers and token not in units]
    words = [_ACRONYMS.get(word, word) for word in words]
    head = words[0] if words else ""
    unit = _UNITS[units[-1]] if units else {"EPE": threshold_unit, "MPJPE": threshold_unit, "PSNR": "dB"}.get(head, "")
    if head in ("AUC", "PCK") and numbers:
        rest = "".join(f", {word}" for word in words[1:])
        return f"{head} {DASH.join(numbers)} {unit or threshold_unit}{rest}"
    text = " ".join([*words, DASH.join(numbers)]).strip()
    return text[:1].upper() + text[1:] + (f" ({unit})" if unit else "")


def number(label: str, value: float, half: float = math.nan) -> str:
    """``51.02 ± 0.40``: two decimals with a unit in the label, three without; a dash for NaN."""
    if math.isnan(value):
        return DASH
    decimals = 2 if label.endswith(")") else 3
    interval = "" if math.isnan(half) else f" ± {half:.{decimals}f}"
    return f"{value:.{decimals}f}{interval}"


def score_rank(score: str) -> tuple[int, str]:
    """Sorts errors first, then the scores that follow from them: run records keep scores in alphabetical order."""
    tokens = score.lower().split("_")
    head = tokens[1] if tokens[0] in _OF and len(tokens) > 1 else tokens[0]
    return _ORDER.index(head) if head in _ORDER else len(_ORDER), score


def place_labels(rows: Sequence[Arm]) -> dict[Place, str]:
    """``ge_realworld test``, numbered where the store's content or the protocol differs under one name."""
    labels: dict[Place, str] = {}
    for place in dict.fromkeys(arm.place for arm in rows):
        earlier = sum(other.label == place.label for other in labels)
        labels[place] = place.label if not earlier else f"{place.label} ({earlier + 1})"
    return labels


def protocol_line(place: Place, label: str) -> str:
    """How a place's numbers were computed: the line below every table."""
    count = f"{place.samples} {'sample' if place.samples == 1 else 'samples'}"
    return f"{label} ({count}, store {place.hash[:8]}): {place.protocol}"


def notes_on(rows: Sequence[Arm], places: Mapping[Place, str]) -> list[str]:
    """What a reader must know beside the numbers, in sentences."""
    trained = [arm for arm in rows if not arm.trivial]
    notes = [note for place in places for note in _defeats([arm for arm in trained if arm.place == place], places)]
    for arm in rows:
        spread = [_between(score_label(score, arm.place.unit), *ends) for score, ends in arm.rival_range.items()]
        if any(spread):
            notes.append(
                f"The {arm.name} depends on the training data: {next(filter(None, spread))} over these runs; "
                "the table shows the one beside the most training data."
            )
    for place, name in dict.fromkeys((arm.place, arm.name) for arm in trained):
        steps = sorted({arm.steps or 0 for arm in trained if (arm.place, arm.name) == (place, name)})
        if len(steps) > 1:
            notes.append(f"Rows of {name} differ in optimisation steps ({', '.join(map(str, steps))}).")
    if any(len(arm.seeds) > 1 for arm in trained):
        notes.append("± is the half-width of the 95 % t interval of the mean over n seeds.")
    if len(trained) > 1 and all(len(arm.seeds) == 1 for arm in trained):
        notes.append("One seed per row: small differences between rows may be chance.")
    return list(dict.fromkeys(notes))


def _between(label: str, low: float, high: float) -> str:
    """``EPE mean (mm) 50.50 to 51.00``; empty where both read the same."""
    shown = number(label, low), number(label, high)
    return f"{label} {shown[0]} to {shown[1]}" if shown[0] != shown[1] else ""


def _defeats(trained: Sequence[Arm], places: Mapping[Place, str]) -> list[str]:
    """Sentences on the systems of one place that do not beat a trivial baseline, as measured beside their own runs."""
    notes = []
    for rival in dict.fromkeys(name for arm in trained for name in arm.rivals):
        where = f" on {places[trained[0].place]}" if len(places) > 1 else ""
        outcomes = [(arm, *_lost(arm, rival)) for arm in trained if rival in arm.rivals]
        if len(outcomes) > 1 and all(compared and lost == compared for _, lost, compared in outcomes):
            notes.append(f"No system here beats the {rival}{where} in any score.")
            continue
        for arm, lost, compared in outcomes:
            if lost:
                share = "" if lost == compared else f" in {len(lost)} of {len(compared)} scores"
                listed = "; ".join(_against(arm, rival, score) for score in lost)
                notes.append(f"{arm.label}, does not beat the {rival}{where}{share}: {listed}.")
    return notes


def _lost(arm: Arm, rival: str) -> tuple[list[str], list[str]]:
    """Scores in which a system does not beat a baseline, and all scores that both have."""
    numbers = arm.rivals[rival]
    shared = (score for score in numbers if score in arm.values and score in arm.better)
    compared = sorted((score for score in shared if not math.isnan(numbers[score])), key=score_rank)
    return [score for score in compared if not _beats(arm.mean(score), numbers[score], arm.better[score])], compared


def _against(arm: Arm, rival: str, score: str) -> str:
    label = score_label(score, arm.place.unit)
    return f"{label} {number(label, arm.mean(score))} against {number(label, arm.rivals[rival][score])}"


def _beats(value: float, rival: float, direction: str) -> bool:
    """False for a tie and for NaN: what was not shown to be better is not."""
    return value < rival if direction == "lower" else value > rival
