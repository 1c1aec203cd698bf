"""Score a run, or a file of predictions, beside the trivial answers; every number comes with its protocol."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from handsynth.errors import DataError, MissingError, UsageError, sentence
from handsynth.metrics.pose import align, errors_mm, mean_pose, nearest_training_pose_oracle, pck_curve, scores
from handsynth.metrics.protocol import Protocol, counted_joints, lift
from handsynth.networks.pretrained import WeightsFile
from handsynth.runtime import files, progress
from handsynth.runtime.settings import pretty_json
from handsynth.stages.depth_scores import score_depth
from handsynth.stages.image_scores import score_images
from handsynth.stages.judge import load_judge
from handsynth.stages.systems import load_run, system_kind
from handsynth.stages.used import main_store
from handsynth.stages.workspace import Workspace, store_name
from handsynth.store.read import Store
from handsynth.training import turned
from handsynth.training.batches import Hands
from handsynth.training.loop import Device
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


def evaluate(
    run: str | None = None,
    store: str | None = None,
    split: str | None = None,
    device: str = "auto",
    judge: str | None = None,
    inception: str | None = None,
    inception_sha256: str | None = None,
    tta: bool = False,
    workspace: str | Path | Workspace | None = None,
) -> Path:
    """Score a run and return the file of scores, ``RUN/evaluation/STORE.json``.

    Args:
        run: run name or folder; the only run by default. Or a Parquet file of predictions with columns ``key`` and
            ``joints_mm`` (63 numbers, camera frame): then the scores are written beside it.
        store: store to score on; by default the one the run was trained on.
        split: ``test`` (default for estimators and for generators of depth) or ``held-out``: the training moments
            outside the reduced set (default for other generators, whose work it is to fill them in).
        judge: of a generator's images: the run of an estimator that saw no generated image. It gives pose fidelity,
            PCKb and a Frechet distance in its own features. For reported scores it may have been trained on all of the
            training split; the protocol says on what.
        inception: of a generator's images: a file of torchvision's Inception v3, for IS and FID.
        inception_sha256: of that file, or its first 8 hex digits or more.
        tta: ask an estimator about turned copies of every image too (test-time augmentation); the protocol says so.

    Raises:
        MissingError, UsageError: no such run, store or file, nothing to score on, a judge that is none, or ``tta`` of
            what is no estimator's run.
        DataError: a checkpoint, a file of weights or a file of predictions is damaged.
    """
    space = Workspace.of(workspace)
    if split not in (None, "test", "held-out"):
        raise UsageError(sentence("test or held-out", repr(split), "--split"))
    weights = inception_file(inception, inception_sha256)
    for_images = "--judge" if judge is not None else "--inception" if weights is not None else ""
    if run is not None and run.endswith(".parquet"):
        _refuse(for_images, "a file of predicted joints", run)
        _refuse_tta(tta, "a file of predicted joints", run)
        return _evaluate_predictions(Path(run), space.store(store), split or "test")
    folder = space.run(run)
    info = read_run(folder)
    if info.family != "generator" or _makes_depth(info):
        _refuse(for_images, f"the {info.family} {info.system}", info.name)
    if info.family == "generator":
        _refuse_tta(tta, f"the {info.family} {info.system}", info.name)
    data = store_of(space, info, store)
    parts = split_store(data, info.alpha, info.seed, info.contiguous)
    system, checkpoint = load_run(folder, info)
    where = Device.choose(device).torch_device
    for network in system.networks().values():
        network.to(where)
    if _makes_depth(info):
        split = split or "test"
        evaluation = score_depth(system, info, data, split, chosen_slots(parts, split), where)
    elif info.family == "generator":
        split = split or ("held-out" if len(parts.held_out) else "test")
        targets = chosen_slots(parts, split)
        judging = load_judge(space, judge, data, targets, where) if judge is not None else None
        evaluation = score_images(system, info, data, parts, split, targets, where, judging, weights)
    else:
        evaluation = _evaluate_estimator(system, info, data, parts, split or "test", where, folder, tta)
    _say_if_trivial_wins(evaluation)
    return write_evaluation(folder, msgspec.structs.replace(evaluation, checkpoint=checkpoint))


def inception_file(path: str | None, sha256: str | None) -> WeightsFile | None:
    """What ``inception`` and ``inception_sha256`` name; the file itself is not read.

    Raises:
        UsageError: one without the other.
    """
    if path is None and sha256 is not None:
        raise UsageError(sentence("--inception beside --inception-sha256", "none", "the options"))
    if path is not None and sha256 is None:
        raise UsageError(sentence("--inception-sha256 beside --inception", "none", "the options"))
    return None if path is None else WeightsFile(path=path, sha256=sha256 or "")


def _refuse(option: str, found: str, where: str) -> None:
    """Options that judge images have nothing to look at elsewhere."""
    if option:
        raise UsageError(sentence(f"a generator's run beside {option}", found, where))


def _refuse_tta(tta: bool, found: str, where: str) -> None:
    if tta:
        raise UsageError(sentence("an estimator's run beside --tta", found, where))


def _makes_depth(info: RunInfo) -> bool:
    return info.family == "generator" and system_kind(info.system).makes == "depth"


def store_of(space: Workspace, info: RunInfo, store: str | None) -> Store:
    """The store to score a run on: the one that is named, or the one it was trained on.

    Raises:
        UsageError: none is named, and that one is not known or has changed; or it is an augmented one.
        MissingError: there is no such store.
    """
    if store is not None:
        return main_store(space, store)
    if info.converted:
        advice = f"name it: handsynth evaluate {info.name} STORE"
        raise UsageError(sentence("a store to score on", "weights that others trained", info.name, advice))
    data = space.store(info.store.name)
    if data.hash != info.store.hash:
        advice = "name the store to score on, or train again"
        raise UsageError(sentence("the store that the run was trained on", "a changed one", data.address, advice))
    return data


def chosen_slots(parts: Split, split: str) -> np.ndarray:
    """The slots of the ``test`` or the ``held-out`` part.

    Raises:
        UsageError: there are none.
    """
    slots = parts.test if split == "test" else parts.held_out
    if len(slots) == 0:
        raise UsageError(sentence(f"{split} samples", "none", "the store", "choose another --split"))
    return slots


def _evaluate_estimator(
    system: System,
    info: RunInfo,
    data: Store,
    parts: Split,
    split: str,
    device: torch.device,
    folder: Path,
    tta: bool,
) -> Evaluation:
    protocol, slots = Protocol(), chosen_slots(parts, split)
    truth = data.column("joints_mm", slots)
    counted = counted_joints(truth, data.column("joint_state", slots), protocol)
    predicted = predict(system, Hands(data, slots, system.settings.size), truth, protocol, device, tta)
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
        protocol="; ".join([protocol.describe(), *([turned.describe()] if tta else [])]),
        better=_POSE_BETTER,
        rows=[
            _pose_row(info.system, False, predicted, truth, counted, protocol),
            *(_pose_row(label, True, joints, truth, counted, protocol) for label, joints in answers.items()),
        ],
        thresholds=protocol.thresholds_mm().tolist(),
    )


def predict(
    system: System, hands: Hands, truth_mm: np.ndarray, protocol: Protocol, device: torch.device, tta: bool = False
) -> np.ndarray:
    """(N, 21, 3) joints in mm of all hands, lifted with what the protocol gives; ``tta`` as in :func:`evaluate`."""
    lifted = []
    with progress.task("predicting", len(hands)) as advance:
        for start in range(0, len(hands), _BATCH):
            rows = np.arange(start, min(start + _BATCH, len(hands)))
            batch = hands.batch(rows).to(device)
            said = turned.predict_turned(system, batch) if tta else system.predict(batch)  # type: ignore[arg-type,attr-defined]
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


def _evaluate_predictions(path: Path, data: Store, split: str) -> Path:
    """Score joints that somebody else predicted; hands without a prediction are an error, not left out."""
    protocol, slots = Protocol(), chosen_slots(split_store(data), split)
    if not path.is_file():
        raise MissingError(sentence("a Parquet file of predictions", "no file", path))
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
    trained = evaluation.rows[0].values
    first = next((score for score in evaluation.better if score in trained), "")
    sign = 1 if evaluation.better.get(first) == "lower" else -1
    for row in evaluation.rows[1:]:
        if "oracle" not in row.name and first in row.values and sign * row.values[first] <= sign * trained[first]:
            progress.say(f"{evaluation.run} does not beat the {row.name} ({first} {row.values[first]:.3g})")
