"""Where a run's errors on another store come from: joints in the image, or depths.

    python benchmarks/sim_to_real.py RUN STORE [--skip N] [--tta] [--workspace FOLDER]

For a run that never saw the store, both of its splits are new; each is scored as the run says it, with true depths
instead, with true image joints instead, and with all depths that of the root. Protocol as in ``handsynth evaluate``.
``--skip`` leaves out the first images of the test split, in the store's order: those that development has looked at.
``--tta`` asks about turned copies of the images too, as ``handsynth evaluate --tta`` does.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import numpy as np

from handsynth.errors import UsageError, sentence
from handsynth.hand.joints import INDEX
from handsynth.metrics.pose import scores
from handsynth.metrics.protocol import ROOT, SCALE_BONE, Protocol, counted_joints, lift
from handsynth.stages.systems import load_run
from handsynth.stages.workspace import Workspace
from handsynth.store.read import Store
from handsynth.training.batches import Hands
from handsynth.training.run import read_run
from handsynth.training.splits import split_store
from handsynth.training.turned import predict_turned

BATCH = 32


def parts(system: object, data: Store, slots: np.ndarray, tta: bool) -> dict[str, tuple[float, float, float]]:
    """EPE mean and median in mm and AUC 20-50 (tail), by what was taken from the truth."""
    protocol, hands = Protocol(), Hands(data, slots, system.settings.size)  # type: ignore[attr-defined]
    truth = data.column("joints_mm", slots)
    counted = counted_joints(truth, data.column("joint_state", slots), protocol)
    ask: Any = partial(predict_turned, system) if tta else system.predict  # type: ignore[attr-defined,arg-type]
    said = [ask(hands.batch(np.arange(start, min(start + BATCH, len(slots))))) for start in range(0, len(slots), BATCH)]
    pixels = np.concatenate([each.keypoints_px.numpy() for each in said])
    depth = np.concatenate([each.relative_depth.numpy() for each in said])
    base, end = (INDEX[name] for name in SCALE_BONE)
    scale = np.linalg.norm(truth[:, end] - truth[:, base], axis=-1)[:, None]
    true_depth = (truth[..., 2] - truth[:, INDEX[ROOT], None, 2]) / scale

    def row(keypoints_px: np.ndarray, relative_depth: np.ndarray) -> tuple[float, float, float]:
        values = scores(lift(keypoints_px, relative_depth, hands.camera, truth, protocol), truth, counted, protocol)
        return values["epe_mean_mm"], values["epe_median_mm"], values["auc_20_50_tail"]

    return {
        "as predicted": row(pixels, depth),
        "true depths": row(pixels, true_depth),
        "true image joints": row(hands.keypoints_px, depth),
        "no depths": row(pixels, np.zeros_like(depth)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("store")
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--tta", action="store_true")
    parser.add_argument("--workspace")
    chosen = parser.parse_args()
    space = Workspace.of(chosen.workspace)
    folder, data = space.run(chosen.run), space.store(chosen.store)
    info = read_run(folder)
    if info.store.hash == data.hash:
        raise UsageError(sentence("a run of another store", f"one trained on {data.address}", folder))
    system, _ = load_run(folder, info)
    split = split_store(data)
    for name, slots in (("training split", split.reduced), ("test split", split.test[chosen.skip :])):
        print(f"{info.name} on {len(slots)} images, {name} of {chosen.store}: EPE mean, median (mm), AUC 20-50 tail")
        for part, values in parts(system, data, slots, chosen.tta).items():
            print(f"  {part:18s} {values[0]:6.1f} {values[1]:6.1f} {values[2]:6.3f}")


if __name__ == "__main__":
    main()
