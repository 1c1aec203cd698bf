"""Made-up runs and evaluations for the report tests."""

from __future__ import annotations

from typing import Any

from handsynth.training.run import Evaluation, RunInfo, Scores, StoreRef

STORE = StoreRef(name="ge_realworld", hash="ab12cd34ef567890")
PROTOCOL = "mm, camera space, true root given, no alignment, labelled joints only"
BETTER = {"auc_20_50_tail": "higher", "epe_mean_mm": "lower"}


def run(**changes: Any) -> RunInfo:
    """A run of an estimator; changing ``added_samples`` also names the augmented store."""
    seed, alpha, added = changes.get("seed", 0), changes.get("alpha", 0.4), changes.get("added_samples", 0)
    values: dict[str, Any] = {
        "name": f"hpm3d-{alpha:g}-{added}-{seed}",
        "system": "hpm3d",
        "family": "estimator",
        "preset": "tiny",
        "settings": {"size": 64, "seed": seed, "losses": {"depth": 0.5}},
        "store": STORE,
        "added": StoreRef(name="ge_realworld-0.4-mmhand", hash=f"{seed:016x}") if added else None,
        "alpha": alpha,
        "steps": 400,
        "samples": 80,
        "parameters": 123456,
        "reduced_set": "feedbeef12345678",
        "handsynth": "0.1.0",
    }
    return RunInfo(**values | changes)


def evaluated(
    info: RunInfo,
    epe: float,
    auc: float,
    *,
    mean_pose: tuple[float, float] = (51.0, 0.31),
    curve: list[float] | None = None,
    **changes: Any,
) -> tuple[RunInfo, Evaluation]:
    """The run with its evaluation beside the mean pose."""
    rows = [
        Scores(
            name="mean pose",
            trivial=True,
            values={"auc_20_50_tail": mean_pose[1], "epe_mean_mm": mean_pose[0]},
            curve=[0.0, 0.2, 0.5] if curve else [],
        ),
        Scores(name=info.system, values={"auc_20_50_tail": auc, "epe_mean_mm": epe}, curve=curve or []),
    ]
    values: dict[str, Any] = {
        "run": info.name,
        "store": STORE,
        "split": "test",
        "samples": 140,
        "protocol": PROTOCOL,
        "better": BETTER,
        "rows": rows,
        "thresholds": [0.0, 25.0, 50.0] if curve else [],
    }
    return info, Evaluation(**values | changes)


def experiment() -> list[tuple[RunInfo, Evaluation]]:
    """Reduced set alone (does not beat the mean pose), with generated samples, and the full set."""
    reduced = [
        evaluated(run(seed=seed), 52.0 + seed, 0.32 + 0.01 * seed, curve=[0.0, 0.1, 0.4 + 0.1 * seed])
        for seed in range(3)
    ]
    more = [evaluated(run(seed=seed, added_samples=120), 44.0 + seed, 0.42, curve=[0.0, 0.3, 0.6]) for seed in range(3)]
    full = evaluated(run(alpha=1.0, samples=200), 36.0, 0.52, mean_pose=(50.5, 0.31), curve=[0.0, 0.4, 0.8])
    return [*reduced, *more, full]
