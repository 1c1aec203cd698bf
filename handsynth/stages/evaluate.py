"""Score a run, or a file of predictions, beside the trivial answers; every number comes with its protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from handsynth.conditioning.depth import capsule_depth
from handsynth.errors import DataError, UsageError, sentence
from handsynth.metrics.image import l1, psnr
from handsynth.metrics.pose import align, errors_mm, mean_pose, nearest_training_pose_oracle, pck_curve, scores
from handsynth.metrics.protocol import Protocol, counted_joints, lift
from handsynth.runtime import files, progress
from handsynth.runtime.settings import pretty_json
from handsynth.stages.augment import match, pair_batch
from handsynth.stages.systems import build_system
from handsynth.stages.workspace import Workspace, store_name
from handsynth.store.read import Store
from handsynth.training.batches import Hands
from handsynth.training.checkpoints import latest_checkpoint, load_checkpoint
from handsynth.training.loop import Device, load_trained
from handsynth.training.run import Evaluation, RunInfo, Scores, StoreRef, read_run, write_evaluation
from handsynth.training.splits import Split, split_store
from handsynth.training.system import System

_BATCH = 32
_POSE_BETTER = {
    "epe_mean_mm": "lower",
    "epe_median_mm": "lower",
    "auc_20_50_tail": "higher",
    "auc_20_50_cdf": "higher",
    "auc_0_50": "higher",
}
_IMAGE_BETTER = {"l1": "lower", "hand_l1": "lower", "psnr_db": "higher"}
_IMAGE_PROTOCOL = (
    "pixels in [0, 1] at the generator's size; source = nearest pose of the reduced set; l1 over the whole image, "
    "hand_l1 over the target pose's silhouette"
)


def evaluate(
    run: str | None = None,
    store: str | None = None,
    split: str | None = None,
    device: str = "auto",
    workspace: str | Path | Workspace | None = None,
) -> Path:
    """Score a run and return the file of scores, ``RUN/evaluation/STORE.json``.

    Args:
        run: run name or folder; the only run by default. Or a Parquet file of predictions with columns ``key`` and
            ``joints_mm`` (63 numbers, camera frame): then the scores are written beside it.
        store: store to score on; by default the one the run was trained on.
        split: ``test`` (default for estimators) or ``held-out``: the training moments outside the reduced set
            (default for generators, whose work it is to fill them in).

    Raises:
        MissingError, UsageError: no such run or store, or nothing to score on.
        DataError: a checkpoint or a file of predictions is damaged.
    """
    space = Workspace.of(workspace)
    if split not in (None, "test", "held-out"):
        raise UsageError(sentence("test or held-out", repr(split), "--split"))
    if run is not None and run.endswith(".parquet"):
        return _evaluate_predictions(Path(run), space.store(store), split or "test")
    folder = space.run(run)
    info = read_run(folder)
    data = _store_of(space, info, store)
    parts = split_store(data, info.alpha, info.seed, info.contiguous)
    system, checkpoint = _load(folder, info)
    where = Device.choose(device).torch_device
    for network in system.networks().values():
        network.to(where)
    if info.family == "generator":
        evaluation = _evaluate_generator(system, info, data, parts, split, where)
    else:
        evaluation = _evaluate_estimator(system, info, data, parts, split or "test", where, folder)
    _say_if_trivial_wins(evaluation)
    return write_evaluation(folder, msgspec.structs.replace(evaluation, checkpoint=checkpoint))


def _store_of(space: Workspace, info: RunInfo, store: str | None) -> Store:
    if store is not None:
        return space.store(store)
    data = space.store(info.store.name)
    if data.hash != info.store.hash:
        advice = "name the store to score on, or train again"
        raise UsageError(sentence("the store that the run was trained on", "a changed one", data.address, advice))
    return data


def _load(folder: Path, info: RunInfo) -> tuple[System, str]:
    checkpoint = latest_checkpoint(folder / "checkpoints")
    if checkpoint is None:
        raise UsageError(sentence("a trained run", "one without checkpoints", folder, "train it: handsynth train"))
    step = load_checkpoint(checkpoint)[0].step
    if step < info.steps:
        progress.say(f"{info.name} is trained to step {step} of {info.steps} only")
    system = build_system(info.system, info.settings, info.seed)
    return system, load_trained(system, checkpoint, info.seed)


def _chosen(parts: Split, split: str) -> np.ndarray:
    slots = parts.test if split == "test" else parts.held_out
    if len(slots) == 0:
        raise UsageError(sentence(f"{split} samples", "none", "the store", "choose another --split"))
    return slots


def _evaluate_estimator(
    system: System, info: RunInfo, data: Store, parts: Split, split: str, device: torch.device, folder: Path
) -> Evaluation:
    protocol, slots = Protocol(), _chosen(parts, split)
    truth = data.column("joints_mm", slots)
    counted = counted_joints(truth, data.column("joint_state", slots), protocol)
    predicted = predict(system, Hands(data, slots, system.settings.size), truth, protocol, device)
    train = data.column("joints_mm", parts.reduced)
    answers = {
        "mean pose": mean_pose(train, truth, protocol),
        "nearest training pose (oracle)": nearest_training_pose_oracle(train, truth, protocol),
    }
    name = store_name(data.address)
    _write_predictions(folder / "evaluation" / f"{name}.parquet", data, slots, predicted, counted)
    return Evaluation(
        run=info.name,
        store=StoreRef(name=name, hash=data.hash),
        split=split,
        samples=len(slots),
        protocol=protocol.describe(),
        better=_POSE_BETTER,
        rows=[
            _pose_row(info.system, False, predicted, truth, counted, protocol),
            *(_pose_row(label, True, joints, truth, counted, protocol) for label, joints in answers.items()),
        ],
        thresholds=protocol.thresholds_mm().tolist(),
    )


def predict(system: System, hands: Hands, truth_mm: np.ndarray, protocol: Protocol, device: torch.device) -> np.ndarray:
    """(N, 21, 3) joints in mm of all hands, lifted with what the protocol gives."""
    lifted = []
    with progress.task("predicting", len(hands)) as advance:
        for start in range(0, len(hands), _BATCH):
            rows = np.arange(start, min(start + _BATCH, len(hands)))
            said = system.predict(hands.batch(rows).to(device))  # type: ignore[attr-defined]
            pixels, depth = said.keypoints_px.float().cpu().numpy(), said.relative_depth.float().cpu().numpy()
            lifted.append(lift(pixels, depth, hands.camera[rows], truth_mm[rows], protocol))
            advance(len(rows))
    return np.concatenate(lifted)


def _pose_row(
    name: str, trivial: bool, predicted: np.ndarray, truth: np.ndarray, counted: np.ndarray, protocol: Protocol
) -> Scores:
    values = scores(predicted, truth, counted, protocol)
    errors = errors_mm(align(predicted, truth, counted, protocol), truth, counted)
    curve = pck_curve(errors, protocol.thresholds_mm())
    return Scores(
        name=name, trivial=trivial, values={key: float(values[key]) for key in _POSE_BETTER}, curve=curve.tolist()
    )


def _write_predictions(path: Path, data: Store, slots: np.ndarray, predicted: np.ndarray, counted: np.ndarray) -> None:
    truth = data.column("joints_mm", slots)
    table = pa.table(
        {
            "key": data.column("key", slots).tolist(),
            "slot": slots,
            "joints_mm": predicted.reshape(len(slots), -1).astype(np.float32).tolist(),
            "truth_mm": truth.reshape(len(slots), -1).tolist(),
            "error_mm": errors_mm(predicted, truth, counted).tolist(),
        }
    )
    with files.replacing(path) as temporary:
        pq.write_table(table, temporary)


def _evaluate_generator(
    system: System, info: RunInfo, data: Store, parts: Split, split: str | None, device: torch.device
) -> Evaluation:
    split = split or ("held-out" if len(parts.held_out) else "test")
    targets = _chosen(parts, split)
    sources, _ = match(data, parts, targets)
    size = system.settings.size
    from_hands, to_hands = Hands(data, sources, size), Hands(data, targets, size)
    made, copied, hand = [], [], []
    with progress.task("making images", len(targets)) as advance:
        for start in range(0, len(targets), _BATCH):
            rows = np.arange(start, min(start + _BATCH, len(targets)))
            batch = pair_batch(from_hands, to_hands, rows).to(device)
            made.append(_pixels(system.generate(batch)))  # type: ignore[attr-defined]
            copied.append(_pixels(batch.source.rgb))
            depth = capsule_depth(batch.target.joints_mm, batch.target.camera, size)
            hand.append(torch.isfinite(depth[:, 0]).cpu().numpy())
            advance(len(rows))
    truth = to_hands.images(np.arange(len(targets))).astype(np.float32) / 255
    where = np.concatenate(hand)

    def row(name: str, trivial: bool, images: Sequence[np.ndarray]) -> Scores:
        stack = np.concatenate(images)
        values = {
            "l1": float(l1(stack, truth).mean()),
            "hand_l1": float(np.nanmean(l1(stack, truth, where))),
            "psnr_db": float(psnr(stack, truth).mean()),
        }
        return Scores(name=name, trivial=trivial, values=values)

    return Evaluation(
        run=info.name,
        store=StoreRef(name=store_name(data.address), hash=data.hash),
        split=split,
        samples=len(targets),
        protocol=_IMAGE_PROTOCOL,
        better=_IMAGE_BETTER,
        rows=[row(info.system, False, made), row("copy of the source", True, copied)],
    )


def _pixels(images: torch.Tensor | None) -> np.ndarray:
    assert images is not None
    return images.permute(0, 2, 3, 1).float().cpu().numpy()


def _evaluate_predictions(path: Path, data: Store, split: str) -> Path:
    """Score joints that somebody else predicted; hands without a prediction are an error, not left out."""
    protocol, slots = Protocol(), _chosen(split_store(data), split)
    try:
        table = pq.read_table(path, columns=["key", "joints_mm"]).to_pydict()
    except (OSError, pa.ArrowException, KeyError) as error:
        found = str(error).splitlines()[0]
        raise DataError(sentence("a Parquet file with key and joints_mm", found, path)) from None
    by_key = dict(zip(table["key"], table["joints_mm"], strict=True))
    keys = data.column("key", slots).tolist()
    missing = [key for key in keys if key not in by_key]
    if missing:
        found = f"none for {len(missing)}, {missing[0]} first"
        raise DataError(sentence(f"a prediction for each of {len(keys)} {split} samples", found, path))
    wrong = [key for key in keys if by_key[key] is None or len(by_key[key]) != 63]
    if wrong:
        raise DataError(sentence("63 numbers a hand", f"another count for {wrong[0]}", path))
    truth = data.column("joints_mm", slots)
    predicted = np.array([by_key[key] for key in keys], dtype=np.float64).reshape(-1, 21, 3)
    counted = counted_joints(truth, data.column("joint_state", slots), protocol)
    evaluation = Evaluation(
        run=path.stem,
        store=StoreRef(name=store_name(data.address), hash=data.hash),
        split=split,
        samples=len(slots),
        protocol=protocol.describe(),
        better=_POSE_BETTER,
        rows=[_pose_row(path.stem, False, predicted, truth, counted, protocol)],
        thresholds=protocol.thresholds_mm().tolist(),
    )
    out = path.with_suffix(".evaluation.json")
    files.write(out, pretty_json(evaluation))
    return out


def _say_if_trivial_wins(evaluation: Evaluation) -> None:
    first = next(iter(evaluation.better))
    trained = evaluation.rows[0].values[first]
    for row in evaluation.rows[1:]:
        if "oracle" not in row.name and row.values[first] <= trained:
            progress.say(f"{evaluation.run} does not beat the {row.name} ({first} {row.values[first]:.3g})")
