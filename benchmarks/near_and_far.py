"""Whether generated images have the target's pose, apart for sources near and far.

    python benchmarks/near_and_far.py STORE-ALPHA-GENERATOR JUDGE    an augmented store, and an estimator's run

Prints the mean pose error in mm that the judge finds in the generated images, in copies of their sources and in the
real images of the targets, for pairs of one clip (sequence) and of two.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np

from handsynth.stages.judge import load_judge
from handsynth.stages.matching import read_matches
from handsynth.stages.workspace import Workspace
from handsynth.store.read import Store
from handsynth.training.loop import Device

_BATCH = 64
_MOVED_MM = 15.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("augmented", help="store of generated images")
    parser.add_argument("judge", help="run of an estimator")
    parser.add_argument("--workspace", help="folder of stores/ and runs/; the current one by default")
    options = parser.parse_args()
    space = Workspace.of(options.workspace)
    made = space.store(options.augmented)
    data = space.store(made.info.plan.settings["store"])
    matches = read_matches(made.address, range(made.info.plan.slots))
    sources, targets = matches["source_slot"][made.slots], matches["target_slot"][made.slots]
    judge = load_judge(space, options.judge, data, targets, Device.choose("auto").torch_device)

    def found_mm(store: Store, slots: np.ndarray) -> np.ndarray:
        """(N,) the error of the pose that the judge sees in each of these images to the target's."""
        errors = []
        for start in range(0, len(slots), _BATCH):
            rows = np.arange(start, min(start + _BATCH, len(slots)))
            size = (made.info.plan.size,) * 2
            images = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in store.rgb(slots[rows])]
            errors.append(judge.fidelity_mm(np.stack(images).astype(np.float32) / 255, rows))
        return np.concatenate(errors)

    errors = {
        "generated": found_mm(made, made.slots),
        "copy of the source": found_mm(data, sources),
        "real image": found_mm(data, targets),
    }
    poses = [data.column("joints_mm", slots) - data.column("joints_mm", slots)[:, :1] for slots in (sources, targets)]
    moved_mm = np.linalg.norm(poses[0] - poses[1], axis=-1).mean(1)
    same = data.column("sequence", sources) == data.column("sequence", targets)
    print(judge.about)
    groups = {
        "all": np.full(len(same), True),
        "same clip": same,
        f"same clip, source more than {_MOVED_MM:g} mm off": same & (moved_mm > _MOVED_MM),
        "other clip": ~same,
    }
    for name, chosen in groups.items():
        if chosen.any():
            numbers = ", ".join(f"{which} {np.nanmean(values[chosen]):.1f}" for which, values in errors.items())
            print(f"{name} ({chosen.sum():,}): source's pose {moved_mm[chosen].mean():.1f} mm off; {numbers}")


if __name__ == "__main__":
    main()
