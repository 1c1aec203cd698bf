"""Draw trained generators side by side on the same held-out poses: MM-Hand's figure 5."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from handsynth.conditioning.contour import contour_maps
from handsynth.errors import UsageError, sentence
from handsynth.imaging.codecs import encode_png
from handsynth.reports.comparison_sheet import comparison_sheet
from handsynth.reports.paper import GENERATORS
from handsynth.runtime import files
from handsynth.stages.generation import make, ready
from handsynth.stages.matching import match
from handsynth.stages.train import run_name
from handsynth.stages.workspace import Workspace, store_name
from handsynth.store.read import Store
from handsynth.training.batches import Hands
from handsynth.training.loop import Device
from handsynth.training.run import read_run
from handsynth.training.splits import split_store

_CELL = 160


def paper_figure(
    store: str | None = None,
    alpha: float = 0.4,
    generators: Sequence[str] = tuple(GENERATORS),
    seeds: Sequence[int] = (0,),
    generator_preset: str | None = None,
    contiguous: bool = False,
    count: int = 8,
    device: str = "auto",
    out: str | Path | None = None,
    workspace: str | Path | Workspace | None = None,
) -> Path:
    """Write the figure, a PNG, and return its path.

    A row is a held-out pose, from the one that lies nearest to its source to the farthest. Every generator gets the
    same source, the nearest of the reduced set, and of the target joints and camera alone; the real image at the right
    is there to compare with.

    Args:
        generators: their runs at this share must be there, under the names that ``train`` gives them.
        seeds: of the experiment; the runs of the first are shown.
        contiguous: whether their reduced set is one of whole sequences.
        count: rows; of more poses, those at even steps of the order by distance.
        out: PNG file; ``runs/STORE-figure5-ALPHA.png`` by default.

    Raises:
        MissingError: a generator's run is not there.
        UsageError: there is no seed, there are no held-out poses, or a run was trained on another reduced set.
    """
    space = Workspace.of(workspace)
    data = space.store(store)
    if not seeds:
        raise UsageError(sentence("at least one seed", "none", "seeds"))
    seed = seeds[0]
    split = split_store(data, alpha, seed, contiguous)
    if count < 1 or not len(split.held_out):
        found = f"{count} of {len(split.held_out)} held-out poses"
        raise UsageError(sentence("at least 1 pose to show", found, data.address, "lower --alpha"))
    sources, distances = match(data, split, split.held_out)
    order = np.argsort(distances, kind="stable")
    rows = order[np.unique(np.linspace(0, len(order) - 1, count).round().astype(int))]
    sources, targets = sources[rows], split.held_out[rows]
    keypoints = torch.from_numpy(Hands(data, targets, _CELL).keypoints_px)
    poses = (contour_maps(keypoints, _CELL) * 255).byte().permute(0, 2, 3, 1).numpy()
    columns = {"target pose": poses, "source": data.rgb(sources)}
    for generator in generators:
        folder = space.run(run_name(data, generator, alpha, seed, contiguous, None, generator_preset))
        columns[GENERATORS.get(generator, generator)] = _made(folder, split.hash, data, sources, targets, device)
    columns["ground truth"] = data.rgb(targets)
    keys = zip(data.column("key", sources), data.column("key", targets), strict=True)
    words = [
        f"pose distance {distances[row]:.4f}   {source} -> {target}"
        for row, (source, target) in zip(rows, keys, strict=True)
    ]
    path = Path(out) if out is not None else figure_path(space, data, alpha, generator_preset, contiguous)
    files.write(path, encode_png(comparison_sheet(columns, words, _CELL)))
    return path


def figure_path(
    space: Workspace, data: Store, alpha: float, generator_preset: str | None, contiguous: bool = False
) -> Path:
    """Where the figure of a store at a share stands by default."""
    return (
        space.root
        / "runs"
        / f"{'-'.join([store_name(data.address), 'figure5', *share_words(alpha, contiguous, generator_preset)])}.png"
    )


def share_words(alpha: float, contiguous: bool, preset: str | None) -> list[str]:
    """What tells the results of one share, draw and preset apart, for names of files."""
    return [f"{alpha:g}", *(["contiguous"] if contiguous else []), *([preset] if preset else [])]


def _made(
    folder: Path, reduced_set: str, data: Store, sources: np.ndarray, targets: np.ndarray, device: str
) -> np.ndarray:
    """(N, S, S, 3) uint8 images of a run's generator."""
    info = read_run(folder)
    if [info.store.hash, info.reduced_set] != [data.hash, reduced_set]:
        raise UsageError(sentence("a run on this reduced set", "another one's", folder, "train it again: --overwrite"))
    where = Device.choose(device)
    generator, _ = ready(folder, where)
    size = generator.settings.size
    return np.concatenate(
        [*make(generator, Hands(data, sources, size), Hands(data, targets, size), where.torch_device)]
    )
