"""The store against its peers: shuffled reading and whole-shard writing of 256 x 256 colour images.

    python benchmarks/bench_store.py              1024 images, half a minute, 1 GB of disk
    python benchmarks/bench_store.py --images N   more or fewer

Every table is one interleaved run on a warm page cache; goals as stated in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr

sys.path.insert(0, str(Path(__file__).parent))
from gauge import header, interleave, report

from handsynth.hand.sample import HandSample
from handsynth.runtime.seeds import rng
from handsynth.store import shards
from handsynth.store.read import open_store
from handsynth.store.schema import Source, StorePlan
from handsynth.store.write import Item, finish, write_shard, writing

SIZE, SHARD, BATCH = 256, 256, 32


def make_plan(images: np.ndarray) -> StorePlan:
    source = Source(kind="simulator", name="bench")
    return StorePlan(source=source, slots=len(images), size=SIZE, shard_size=SHARD)


def write_store(folder: Path, images: np.ndarray) -> str:
    """A whole store: pixels with checksums, rows, rejects, ledger."""
    address, plan = str(folder), make_plan(images)

    def items(shard: int) -> Iterator[Item]:
        return ((slot, HandSample(key=str(slot), rgb=images[slot]), None) for slot in plan.slot_range(shard))

    with writing(address, plan, overwrite=True) as todo:
        for shard in todo:
            write_shard(address, plan, shard, items(shard))
        finish(address, plan)
    return address


def write_pixels(folder: Path, images: np.ndarray) -> None:
    """The pixel shards of a store alone, checksums included; to fresh names, as in life."""
    shutil.rmtree(folder, ignore_errors=True)
    for start in range(0, len(images), SHARD):
        encoded = [shards.encode(image, "raw") for image in images[start : start + SHARD]]
        shards.put(str(folder / str(start)), encoded, SHARD)


def write_zarr(folder: Path, images: np.ndarray) -> zarr.Array[Any]:
    """The same array by zarr-python, shard after shard."""
    array = zarr.create_array(
        folder,
        shape=images.shape,
        dtype=images.dtype,
        chunks=(1, *images.shape[1:]),
        shards=(SHARD, *images.shape[1:]),
        compressors=None,
        overwrite=True,
    )
    for start in range(0, len(images), SHARD):
        array[start : start + SHARD] = images[start : start + SHARD]
    return array


def write_file(path: Path, images: np.ndarray) -> None:
    """All pixels in one file: what the disk and the kernel allow."""
    path.unlink(missing_ok=True)
    with path.open("wb", buffering=0) as file:
        for image in images:
            file.write(image.data)


def reading(folder: Path, images: np.ndarray, rounds: int) -> None:
    """G5, and of G6 the peer that is always there."""
    store = open_store(write_store(folder / "store", images))
    write_file(folder / "raw", images)
    mapped = np.memmap(folder / "raw", dtype=np.uint8, mode="r", shape=images.shape)
    peer = zarr.open_array(f"{store.address}/pixels/rgb", mode="r")
    order = rng(0, "bench_store").permutation(len(images))
    batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    out = np.empty((BATCH, *images.shape[1:]), dtype=np.uint8)

    def ours() -> None:
        for batch in batches:
            store.rgb(batch, out[: len(batch)])

    def memory_map() -> None:
        for batch in batches:
            np.take(mapped, batch, axis=0, out=out[: len(batch)], mode="clip")

    def one_by_one() -> None:
        for batch in batches:
            for place, slot in enumerate(batch.tolist()):
                out[place] = peer[slot]

    ours()
    last = out[: len(batches[-1])]
    assert np.array_equal(last, images[batches[-1]])
    timing = interleave({"Store.rgb": ours, "np.memmap, np.take": memory_map, "zarr-python": one_by_one}, rounds)
    goals = {"np.memmap, np.take": 0.9, "zarr-python": 30}
    report(f"read {len(images)} images, shuffled batches of {BATCH}", timing, "Store.rgb", len(images), goals)


def writing_shards(folder: Path, images: np.ndarray, rounds: int) -> None:
    """G12."""
    timing = interleave(
        {
            "pixel shards": lambda: write_pixels(folder / "pixels", images),
            "one raw file": lambda: write_file(folder / "raw", images),
            "zarr-python, whole shards": lambda: write_zarr(folder / "zarr", images),
            "whole store": lambda: write_store(folder / "store", images),
        },
        rounds,
    )
    assert np.array_equal(zarr.open_array(folder / "store/pixels/rgb", mode="r")[:], images)
    goals = {"one raw file": 0.6, "zarr-python, whole shards": 5}
    report(f"write {len(images)} images in raw shards of {SHARD}", timing, "pixel shards", len(images), goals)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder by default")
    arguments = parser.parse_args()
    header(["numpy", "zarr", "pyarrow", "google-crc32c"])
    images = rng(0, "bench_store").integers(0, 256, (arguments.images, SIZE, SIZE, 3), dtype=np.uint8)
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        reading(folder, images, arguments.rounds)
        writing_shards(folder, images, arguments.rounds)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
