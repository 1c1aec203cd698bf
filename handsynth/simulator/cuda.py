"""Sphere tracing of whole batches of hands on a GPU: the functions of ``field`` and ``trace``, compiled for CUDA.

A launch covers all hands and pixels of a batch. A group of threads has the table of one hand and the lists of rows of
``_TILES`` blocks of pixels in shared memory; one thread per block lists the rows and walks the common stretch, then
each thread follows the ray of one pixel. So every ray takes the steps that ``trace`` takes, and only the rounding of
fused multiplications differs. Importing this module asks for no GPU; tracing does.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import cuda as numba_cuda
from numba import float64, int64, uint32
from numba.core.errors import NumbaPerformanceWarning
from numba.cuda.cudadrv.driver import CudaAPIError, LinkerError
from numba.extending import overload

from handsynth.errors import HandsynthError, UsageError, sentence
from handsynth.hand.camera import Camera
from handsynth.hand.joints import OTHER_BODY
from handsynth.simulator import field, trace
from handsynth.simulator.field import COLUMNS
from handsynth.simulator.surface import Surface
from handsynth.simulator.trace import BLOCK, NUMBERS, View, bent_rays

cuda: Any = numba_cuda  # whose type hints know nothing of what kernels may call
_PIXELS = BLOCK * BLOCK  # threads of a block of pixels
_TILES = 8  # blocks of pixels of a group of threads
_THREADS = _TILES * _PIXELS
_ROWS = 128  # of a hand's table, at most
_LIST = 64  # rows that a ray may meet, at most
_MOST_PIXELS = 1 << 21
"""Pixels of one launch of ``trace_batch``, which reserves 136 bytes for each."""


def is_available() -> bool:
    """Whether numba finds a GPU, and the toolkit to compile for it."""
    return bool(cuda.is_available())


def require_gpu() -> None:
    """Raises UsageError where there is no GPU."""
    if not is_available():
        wanted = "a CUDA GPU and a CUDA toolkit (libnvvm, see CUDA_HOME) that numba can use"
        raise UsageError(sentence(wanted, "none", "this machine", "use --device cpu"))


@contextlib.contextmanager
def _on_gpu() -> Iterator[None]:
    """What a GPU, its driver or its toolkit cannot do is one sentence."""
    require_gpu()
    try:
        yield
    except (CudaAPIError, LinkerError) as error:
        wanted = "a GPU with room for the batch and a driver as new as the CUDA toolkit"
        raise HandsynthError(sentence(wanted, str(error), "this machine", "use --device cpu")) from error


def trace_batch(surfaces: Sequence[Surface], cameras: Sequence[Camera]) -> list[View]:
    """What ``trace`` gives of each surface and its camera, in their order; pictures of one size share launches.

    Numbers agree with those of ``trace`` to rounding. A ray that grazes the silhouette so closely that rounding decides
    may be seen by one of both only.

    Raises:
        UsageError: there is no GPU.
        HandsynthError: the GPU fails.
    """
    numbers: dict[tuple[int, int], list[int]] = {}
    for number, camera in enumerate(cameras):
        numbers.setdefault((camera.height, camera.width), []).append(number)
    views: dict[int, View] = {}
    for (height, width), same in numbers.items():
        step = max(_MOST_PIXELS // (height * width), 1)
        for start in range(0, len(same), step):
            chosen = same[start : start + step]
            with _on_gpu():
                batch = _Batch.of([surfaces[i] for i in chosen], [cameras[i] for i in chosen])
                views.update(zip(chosen, _views(batch), strict=True))
    return [views[number] for number in range(len(surfaces))]


def depth_and_parts(surfaces: Sequence[Surface], cameras: Sequence[Camera]) -> tuple[Any, Any]:
    """Depth and parts alone, which stay on the GPU: what a training there needs, in one launch.

    Args:
        surfaces: B hands.
        cameras: one for each, all of the same size.

    Returns:
        Camera z (B, H, W) float32 in mm, NaN where the hand is not seen, and mask codes (B, H, W) uint8. Both offer
        ``__cuda_array_interface__``: ``torch.as_tensor(depth, device="cuda")`` copies nothing.

    Raises:
        UsageError: there is no GPU, or cameras differ in size.
        HandsynthError: the GPU fails.
    """
    sizes = sorted({(camera.height, camera.width) for camera in cameras})
    if len(sizes) != 1:
        raise UsageError(sentence("cameras of one size", f"{len(sizes)} sizes", "the batch to trace"))
    with _on_gpu():
        batch = _Batch.of(surfaces, cameras)
        depth = cuda.device_array((len(surfaces), *sizes[0]), dtype=np.float32)
        parts = cuda.device_array((len(surfaces), *sizes[0]), dtype=np.uint8)
        batch.launch(_paint, depth, parts)
    return depth, parts


@dataclass(frozen=True)
class _Batch:
    """N hands and their cameras, of one size, on the GPU.

    Attributes:
        height, width: of all pictures, px.
        tables: (N, R, 16) the hands.
        lenses: (N, 4) focal lengths and principal points.
        bents: (N, H, W, 2) ``bent_rays``; (1, 1, 1, 2) of no meaning where no lens bends them.
        bends: 1 where one does, else 0.
    """

    height: int
    width: int
    tables: Any
    lenses: Any
    bents: Any
    bends: int

    @classmethod
    def of(cls, surfaces: Sequence[Surface], cameras: Sequence[Camera]) -> _Batch:
        """Sends N >= 1 hands and their cameras to the GPU."""
        tables = np.stack([surface.table for surface in surfaces])
        rows = tables.shape[1]
        assert rows <= _ROWS
        assert rows - field.TRUNK + field.NAILS <= _LIST
        lenses = np.array([(camera.fx, camera.fy, camera.cx, camera.cy) for camera in cameras])
        bends, bents = any(camera.distortion for camera in cameras), np.zeros((1, 1, 1, 2))
        if bends:
            rays = {camera: bent_rays(camera) for camera in set(cameras)}
            bents = np.stack([rays[camera] for camera in cameras])
        height, width = cameras[0].height, cameras[0].width
        return cls(height, width, cuda.to_device(tables), cuda.to_device(lenses), cuda.to_device(bents), int(bends))

    @property
    def groups(self) -> int:
        """Groups of threads of a picture."""
        return -(-(-(-self.height // BLOCK) * -(-self.width // BLOCK)) // _TILES)

    def launch(self, kernel: Any, *outputs: Any) -> None:
        """Runs a kernel over the batch."""
        count = self.tables.shape[0]
        with warnings.catch_warnings():
            # A batch of few small pictures cannot fill a GPU, and need not.
            warnings.simplefilter("ignore", NumbaPerformanceWarning)
            configured = kernel[count * self.groups, _THREADS]
        configured(self.tables, self.lenses, self.bents, self.bends, self.height, self.width, *outputs)


def _views(batch: _Batch) -> list[View]:
    """Traces a batch and brings back what its pixels see, each hand's in the order of ``trace``."""
    count, most = batch.tables.shape[0], batch.tables.shape[0] * batch.height * batch.width
    total = cuda.to_device(np.zeros(1, dtype=np.int64))
    keys, numbers = cuda.device_array(most, dtype=np.int64), cuda.device_array((most, NUMBERS), dtype=np.float64)
    batch.launch(_describe, total, keys, numbers)
    seen = int(total.copy_to_host()[0])
    if seen == 0:
        return [_view(batch, np.empty(0, np.int64), np.empty((0, NUMBERS)))] * count
    # Threads come in any order; their keys put it right.
    all_keys = keys[:seen].copy_to_host()
    order = np.argsort(all_keys)
    all_keys = all_keys[order]
    all_numbers = numbers[:seen].copy_to_host()[order]
    each = batch.groups * _THREADS
    bounds = np.searchsorted(all_keys, np.arange(count + 1) * each)
    parts = [slice(start, stop) for start, stop in itertools.pairwise(bounds)]
    return [_view(batch, all_keys[part] % each, all_numbers[part]) for part in parts]


def _view(batch: _Batch, places: np.ndarray, numbers: np.ndarray) -> View:
    """The view of M pixels by their places (M,) among a picture's blocks."""
    tile, pixel = places // _PIXELS, places % _PIXELS
    across = -(-batch.width // BLOCK)
    rows, columns = tile // across * BLOCK + pixel // BLOCK, tile % across * BLOCK + pixel % BLOCK
    return View(rows, columns, numbers)


def _less(a: Any, b: Any) -> Any:
    def chosen(a: Any, b: Any) -> Any:
        return b if b < a else a

    return chosen


def _more(a: Any, b: Any) -> Any:
    def chosen(a: Any, b: Any) -> Any:
        return b if b > a else a

    return chosen


# numba 0.68 cannot compile its own min and max for CUDA: their general form takes any number of arguments.
overload(min, target="cuda")(_less)
overload(max, target="cuda")(_more)


@cuda.jit(device=True)
def _arrive(
    tables: Any, lenses: Any, bents: Any, bends: int, height: int, width: int, values: Any
) -> tuple[Any, Any, int, int, int, int, float, float, float]:
    """Follow the ray of this thread's pixel; all threads of a group must call it.

    Args:
        tables, lenses, bents, bends, height, width: of the batch.
        values: (_LIST,) scratch of this thread.

    Returns:
        Table, rows, trunk and count as for ``field.distance``; row and column of the pixel; x and y of its ray; and the
        z of the surface there, 0 where none is met or the pixel lies beyond the picture.
    """
    thread, across, down = cuda.threadIdx.x, (width + BLOCK - 1) // BLOCK, (height + BLOCK - 1) // BLOCK
    groups = (across * down + _TILES - 1) // _TILES
    hand, first = cuda.blockIdx.x // groups, cuda.blockIdx.x % groups * _TILES
    lens, bent = lenses[hand], bents[hand * bends, : height * bends]
    space = cuda.shared.array((_ROWS, COLUMNS), float64)
    lists = cuda.shared.array((_TILES, _LIST), uint32)
    counts = cuda.shared.array((_TILES, 2), int64)
    ranges = cuda.shared.array((_TILES, 2), float64)
    t = space[: tables.shape[1]]
    for number in range(thread, t.size, _THREADS):
        place, column = number // COLUMNS, number % COLUMNS
        t[place, column] = tables[hand, place, column]
    cuda.syncthreads()
    if thread < _TILES:
        top, left = (first + thread) // across * BLOCK, (first + thread) % across * BLOCK
        counts[thread, 1] = 0
        if top < height:
            trunk, count, begin, far = trace.block(t, lens, bent, height, width, top, left, lists[thread], values)
            counts[thread, 0], counts[thread, 1] = trunk, count
            ranges[thread, 0], ranges[thread, 1] = begin, far
    cuda.syncthreads()
    tile, pixel = thread // _PIXELS, thread % _PIXELS
    row = (first + tile) // across * BLOCK + pixel // BLOCK
    column = (first + tile) % across * BLOCK + pixel % BLOCK
    rows, trunk, count = lists[tile], counts[tile, 0], counts[tile, 1]
    x, y, z = 0.0, 0.0, 0.0
    if count > 0 and row < height and column < width:
        x, y = trace.ray(lens, bent, row, column)
        far = ranges[tile, 1]
        z = trace.march(t, rows, trunk, count, values, x, y, ranges[tile, 0], far, 0.0)
        if z > far:
            z = 0.0
    return t, rows, trunk, count, row, column, x, y, z


@cuda.jit
def _describe(
    tables: Any,
    lenses: Any,
    bents: Any,
    bends: int,
    height: int,
    width: int,
    total: Any,
    keys: Any,
    numbers: Any,
) -> None:
    """Write what ``trace.describe`` says of every pixel that sees its hand, in any order.

    Args:
        tables, lenses, bents, bends, height, width: of the batch.
        total: (1,) int64, 0; becomes how many pixels see a hand.
        keys: (N H W,) int64, filled from the front with the numbers of the threads, which rise as ``trace`` goes.
        numbers: (N H W, 16), filled alike.
    """
    values, few = cuda.local.array(_LIST, float64), cuda.local.array(_LIST, uint32)
    t, rows, trunk, count, _, _, x, y, z = _arrive(tables, lenses, bents, bends, height, width, values)
    if z > 0.0:
        slot = cuda.atomic.add(total, 0, 1)
        keys[slot] = cuda.grid(1)
        trace.describe(t, rows, trunk, count, values, x * z, y * z, z, few, numbers[slot])


@cuda.jit
def _paint(tables: Any, lenses: Any, bents: Any, bends: int, height: int, width: int, depth: Any, parts: Any) -> None:
    """Fill depth (N, H, W) with camera z, NaN where no hand is, and parts (N, H, W) with mask codes."""
    values = cuda.local.array(_LIST, float64)
    t, rows, _, count, row, column, x, y, z = _arrive(tables, lenses, bents, bends, height, width, values)
    if row >= height or column >= width:
        return
    hand = cuda.grid(1) // (cuda.gridsize(1) // depth.shape[0])
    depth[hand, row, column], parts[hand, row, column] = math.nan, 0
    if z > 0.0:
        near, cloth = trace.covering(t, rows, count, x * z, y * z, z)
        depth[hand, row, column] = z
        parts[hand, row, column] = OTHER_BODY if cloth else t[near, field.PART]
