"""Ingest against its peers: PNG of 640 x 480 in STB's layout and of 320 x 320 with two hands each in RHD's.

    python benchmarks/bench_ingest.py              640 images of each kind, three minutes, 3 GB of disk
    python benchmarks/bench_ingest.py --images N   more or fewer; from 500 on two workers take the fast way too

Then a catalogue of a million rows: what opening it costs, and what a worker needs. Every table is one interleaved run
on a warm page cache.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pyarrow as pa
import zarr

sys.path.insert(0, str(Path(__file__).parent))
import raw_hands
from gauge import header, interleave, report

from handsynth.formats import get_format
from handsynth.formats.catalogue import Catalogue, open_catalogue, read_catalogue
from handsynth.formats.columns import build_table, camera_rows
from handsynth.formats.format import NoOptions
from handsynth.hand.rows import from_row
from handsynth.imaging import codecs, png
from handsynth.imaging.warp import Box, square_box
from handsynth.runtime import progress
from handsynth.runtime.seeds import rng
from handsynth.stages import ingest as stage
from handsynth.store.read import open_store

SIZE, SHARD = 256, 64
ONE, OPENCV = "1 worker", "1 worker, OpenCV only"
BARE, NAIVE = "imread, crop, resize: no store", "the same and z[i] = crop"
KINDS: dict[str, tuple[str, Callable[[Path, int], None], float]] = {
    "stb": ("640 x 480, one hand", raw_hands.write_stb, 2.0),
    "rhd": ("320 x 320, two hands", raw_hands.write_rhd, 1.7),
}
"""Title, writer, and how many times faster than the bare loop one worker is to be with the fast way."""


class Clock:
    """Listener that notes when each shard was done."""

    def __init__(self) -> None:
        self.done: list[tuple[float, int]] = []

    def say(self, text: str) -> None:
        pass

    @contextlib.contextmanager
    def task(self, title: str, total: int) -> Iterator[progress.Advance]:
        self.done = []
        yield lambda steps=1, note="": self.done.append((time.perf_counter(), steps))

    def pace(self, workers: int) -> float:
        """Samples a second over the last two thirds of the shards: by then the slowest worker has started."""
        times = [(at, steps) for at, steps in self.done if steps]
        first = max(len(times) // 3, workers - 1)
        return sum(steps for _, steps in times[first + 1 :]) / (times[-1][0] - times[first][0])


class Million:
    """A format that has a catalogue only."""

    name: ClassVar[str] = "million"

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def annotations(self, root: Path, options: NoOptions) -> list[Path]:
        return [root / "annotations"]

    def catalogue(self, root: Path, options: NoOptions) -> Iterator[pa.Table]:
        joints = rng(0, "million").normal(0, 50, (50_000, 21, 3)) + np.array([0.0, 0.0, 600.0])
        for start in range(0, self.rows, len(joints)):
            count = min(len(joints), self.rows - start)
            names = [f"{number:07d}" for number in range(start, start + count)]
            yield build_table(
                count,
                key=names,
                frame=names,
                moment=names,
                split="train",
                side="right",
                joints_mm=joints[:count],
                keypoints_px=joints[:count, :, :2] + 320,
                camera=camera_rows(np.tile([475.0, 475.0, 320.0, 240.0], (count, 1)), 640, 480),
                rgb_file=[f"images/{name}.png" for name in names],
            )


def hands_of(root: Path, catalogue: Catalogue) -> dict[Path, list[Box]]:
    """Boxes of the hands in every image: what any loop over the dataset must know."""
    found: dict[Path, list[Box]] = {}
    for row in catalogue.table.to_pylist():
        keypoints = from_row(row).keypoints_px
        assert keypoints is not None
        found.setdefault(root / row["rgb_file"], []).append(square_box(keypoints))
    return found


def cut(image: np.ndarray, box: Box) -> np.ndarray:
    """A box of an image, edges replicated, resized by area where it shrinks: what ingest does, by OpenCV alone."""
    height, width = image.shape[:2]
    left, top = max(-box.x, 0), max(-box.y, 0)
    right, bottom = max(box.x + box.side - width, 0), max(box.y + box.side - height, 0)
    inside = image[max(box.y, 0) : box.y + box.side, max(box.x, 0) : box.x + box.side]
    if left or top or right or bottom:
        inside = cv2.copyMakeBorder(inside, top, bottom, left, right, cv2.BORDER_REPLICATE)
    return cv2.resize(inside, (SIZE, SIZE), interpolation=cv2.INTER_AREA if box.side > SIZE else cv2.INTER_LINEAR)


def whole_flow(name: str, images: int, rounds: int, folder: Path) -> Path:
    """G9, G10: every peer makes all crops of the same files."""
    title, write, goal = KINDS[name]
    root = folder / "data" / name
    write(root, images)
    format = get_format(name)
    hands = hands_of(root, open_catalogue(format, root, format.options_type()))
    samples = sum(map(len, hands.values()))
    png.compile_kernel()
    kernel, clock = png._unfilter, Clock()

    def bare() -> None:
        for path, boxes in hands.items():
            image = cv2.imread(str(path))
            for box in boxes:
                cut(image, box)

    def naive() -> None:
        shape = (samples, SIZE, SIZE, 3)
        array = zarr.create_array(folder / "naive", shape=shape, chunks=(1, *shape[1:]), dtype="uint8", overwrite=True)
        for number, (path, box) in enumerate((path, box) for path, boxes in hands.items() for box in boxes):
            array[number] = cut(cv2.imread(str(path)), box)[..., ::-1]

    paces: list[float] = []

    def ours(store: str, workers: int, fast: bool = True) -> Callable[[], None]:
        def run() -> None:
            png._unfilter = kernel if fast else None
            few, codecs._MANY = codecs._MANY, codecs._MANY if fast else 1 << 60
            with progress.show(clock):
                stage.ingest(
                    name, None, store, shard_size=SHARD, workers=workers, overwrite=True, accept=True, workspace=folder
                )
            codecs._MANY, png._unfilter = few, kernel
            if workers > 1:
                paces.append(clock.pace(workers))

        return run

    peers = {
        ONE: ours("one", 1),
        OPENCV: ours("opencv", 1, fast=False),
        "2 workers, start included": ours("two", 2),
        BARE: bare,
        NAIVE: naive,
    }
    # The checks look at 120 images however many there are: they are timed by themselves below.
    check, stage._check_source = stage._check_source, lambda *_: None
    timing = interleave(peers, rounds, warm_up=False)
    stage._check_source = check
    stores = [open_store(str(folder / "stores" / store)) for store in ("one", "opencv", "two")]
    for slots in (range(8), range(samples - 8, samples)):
        assert all(np.array_equal(stores[0].rgb(slots), other.rgb(slots)) for other in stores[1:])
    kilobytes = np.mean([path.stat().st_size for path in hands]) / 1e3
    heading = f"ingest {samples} hands of {len(hands)} PNG, {title}, {kilobytes:.0f} kB each"
    report(heading, timing, ONE, samples, {BARE: goal})
    pace = float(np.median(paces))
    say_ratio(f"{OPENCV}, over the bare loop", timing.speedup(OPENCV, BARE), 0.85)
    say_ratio(f"2 workers after their start ({pace:,.0f} hands/s), over 1", pace * timing.median(ONE) / samples, 1.8)
    say_ratio("2 workers after their start, over the naive loop", pace * timing.median(NAIVE) / samples, 6.0)
    start = time.perf_counter()
    check(open_catalogue(format, root, format.options_type()).table, format, root, True)
    print(f"  checks of the source before, at any size: {time.perf_counter() - start:.1f} s", flush=True)
    return root


def say_ratio(what: str, ratio: float, goal: float) -> None:
    print(f"  {what}: {ratio:.2f} x; goal >= {goal:g}: {'met' if ratio >= goal else 'MISSED'}", flush=True)


def million_rows(rows: int, folder: Path) -> None:
    """Parse once, then open: by the parent, and by a worker that reads the rows of a few shards."""
    root = folder / "million"
    root.mkdir()
    (root / "annotations").write_text("")
    os.utime(root / "annotations", (0, 0))  # what was written just now is looked at again
    start = time.perf_counter()
    file = open_catalogue(Million(rows), root, NoOptions()).file  # type: ignore[arg-type]
    assert file is not None
    parsed = time.perf_counter() - start
    start = time.perf_counter()
    assert len(open_catalogue(Million(rows), root, NoOptions()).table) == rows  # type: ignore[arg-type]
    opened = time.perf_counter() - start
    print(f"\n{rows:,} catalogue rows, {file.stat().st_size / 1e9:.2f} GB in the cache")
    print(f"  made in {parsed:.1f} s, opened again in {opened * 1e3:.0f} ms")
    in_own_process("open", str(file))


def worker_opens(file: str) -> None:
    """What a worker does with a catalogue: open it, take shards here and there."""
    start = time.perf_counter()
    found = read_catalogue(Path(file))
    assert found is not None
    for shard in np.linspace(0, len(found.table) // 256 - 1, 16).astype(int).tolist():
        assert len(found.table.slice(shard * 256, 256).to_pylist()) == 256
    print(f"  a worker: rows of 16 shards in {time.perf_counter() - start:.2f} s, peak memory {peak_mb():.0f} MB")


def worker_ingests(name: str, root: str, folder: str) -> None:
    """Peak memory of one worker, imports and catalogue included."""
    stage.ingest(name, root, "memory", workers=1, overwrite=True, accept=True, workspace=folder)
    print(f"  peak memory of a process that ingests {name}: {peak_mb():.0f} MB; goal < 1000 MB")


def peak_mb() -> float:
    """Largest resident size of this process since it started, looked-at parts of the mapped catalogue included."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1e3
    return float("nan")


def in_own_process(*arguments: str) -> None:
    subprocess.run([sys.executable, __file__, "--worker", *arguments], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=640)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder by default")
    parser.add_argument("--worker", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        action, *rest = arguments.worker
        (worker_opens if action == "open" else worker_ingests)(*rest)
        return
    header(["opencv-python", "isal", "numba", "zarr", "dask"])
    print(f"images: {raw_hands.source()}, enlarged, with noise")
    cv2.setNumThreads(1)
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    os.environ["HANDSYNTH_CACHE"] = str(folder / "catalogues")
    try:
        for name in KINDS:
            root = whole_flow(name, arguments.images, arguments.rounds, folder)
            in_own_process("ingest", name, str(root), str(folder))
            shutil.rmtree(folder / "data")
            shutil.rmtree(folder / "stores")
        million_rows(arguments.rows, folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
