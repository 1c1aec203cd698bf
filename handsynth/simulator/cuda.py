"""Whole batches of hands traced, lit and painted on a GPU by the functions of the CPU, compiled for CUDA.

One launch of ``cuda_kernels`` traces all hands and pixels of a batch, a second one lights and colours all points that
were met. Every ray takes the steps that ``trace`` takes and every point is coloured as ``paint`` does it; only the
rounding of fused multiplications differs. Importing this module asks for no GPU; tracing does.
"""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba.core.errors import NumbaPerformanceWarning
from numba.cuda.cudadrv.driver import CudaAPIError, LinkerError

from handsynth.errors import HandsynthError, UsageError, sentence
from handsynth.hand.camera import Camera
from handsynth.simulator import cuda_kernels as kernels
from handsynth.simulator import field
from handsynth.simulator.cuda_kernels import cuda
from handsynth.simulator.light import RUN
from handsynth.simulator.paint import Paint, Sitter, footprint_mm
from handsynth.simulator.render import Layer
from handsynth.simulator.stretched import chain
from handsynth.simulator.surface import Surface
from handsynth.simulator.trace import BLOCK, NUMBERS, bent_rays

_MOST_PIXELS = 1 << 21
"""Pixels of one launch of ``paint_batch``, which reserves 137 bytes for each."""


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


def paint_batch(sitters: Sequence[Sitter]) -> list[Layer]:
    """What ``paint.painted`` gives of each hand, in their order; pictures of one size share launches.

    Numbers agree with those of ``painted`` to rounding. A ray that grazes the silhouette so closely that rounding
    decides may be seen by one of both only.

    Raises:
        UsageError: there is no GPU.
        HandsynthError: the GPU fails.
    """
    alike: dict[tuple[int, int, bool], list[int]] = {}
    for number, sitter in enumerate(sitters):
        key = (sitter.camera.height, sitter.camera.width, sitter.paint is not None)
        alike.setdefault(key, []).append(number)
    layers: dict[int, Layer] = {}
    for (height, width, _), same in alike.items():
        step = max(_MOST_PIXELS // (height * width), 1)
        for start in range(0, len(same), step):
            chosen = same[start : start + step]
            with _on_gpu():
                layers.update(zip(chosen, _layers([sitters[i] for i in chosen]), strict=True))
    return [layers[number] for number in range(len(sitters))]


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
        batch.launch(kernels.depth_and_parts, depth, parts)
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
        assert rows <= kernels.ROWS
        assert rows - field.TRUNK + field.NAILS <= kernels.LIST
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
        return -(-(-(-self.height // BLOCK) * -(-self.width // BLOCK)) // kernels.TILES)

    def launch(self, kernel: Any, *outputs: Any) -> None:
        """Runs a kernel over the batch."""
        configured = _configured(kernel, self.tables.shape[0] * self.groups, kernels.THREADS)
        configured(self.tables, self.lenses, self.bents, self.bends, self.height, self.width, *outputs)

    def pixels(self, threads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns (M,) of the pixels of threads (M,) of one picture."""
        tile, pixel = threads // kernels.PIXELS, threads % kernels.PIXELS
        across = -(-self.width // BLOCK)
        return tile // across * BLOCK + pixel // BLOCK, tile % across * BLOCK + pixel % BLOCK


def _layers(sitters: Sequence[Sitter]) -> list[Layer]:
    """Traces hands before cameras of one size, and paints them if they have paint."""
    batch = _Batch.of([sitter.surface for sitter in sitters], [sitter.camera for sitter in sitters])
    each = batch.groups * kernels.THREADS
    depth = cuda.device_array(len(sitters) * each, dtype=np.float64)
    parts = cuda.device_array(len(sitters) * each, dtype=np.uint8)
    numbers = cuda.device_array((len(sitters) * each, NUMBERS), dtype=np.float64)
    batch.launch(kernels.describe, depth, parts, numbers)
    all_z = depth.copy_to_host()
    places = np.flatnonzero(all_z)
    z_mm, codes = all_z[places], parts.copy_to_host()[places]
    bounds = np.searchsorted(places, np.arange(len(sitters) + 1) * each)
    paints = [sitter.paint for sitter in sitters if sitter.paint]
    colors = _colors(paints, sitters, batch.tables, numbers, places, bounds, z_mm) if paints and len(places) else None
    layers = []
    for start, stop in itertools.pairwise(bounds):
        rows, columns = batch.pixels(places[start:stop] % each)
        color = colors[start:stop] if colors is not None else np.empty((0, 3)) if paints else None
        layers.append(Layer(rows, columns, z_mm[start:stop], codes[start:stop], color))
    return layers


def _colors(
    paints: Sequence[Paint], sitters: Sequence[Sitter], tables: Any, numbers: Any, places: np.ndarray,
    bounds: np.ndarray, z_mm: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """(M, 3) linear colours of the points of a batch.

    Args:
        paints, sitters: N of each.
        tables: (N, R, 16) the hands, on the GPU.
        numbers: (T, 16) of ``cuda_kernels.describe``, there.
        places: (M,) which of its rows are the points.
        bounds: (N + 1,) where among them those of each hand begin and end.
        z_mm: (M,) their camera z.
    """
    spans = list(itertools.pairwise(bounds))
    runs = [
        (hand, first, min(RUN, stop - first))
        for hand, (start, stop) in enumerate(spans)
        for first in range(start, stop, RUN)
    ]
    footprints = [
        footprint_mm(z_mm[start:stop], sitter.camera) for (start, stop), sitter in zip(spans, sitters, strict=True)
    ]
    painted = list(zip(paints, footprints, strict=True))
    bones = _stacked([sitter.bones for sitter in sitters])
    assert bones.shape[1] <= kernels.BONES
    told = [(len(sitter.bones), paint.shadows) for sitter, paint in zip(sitters, paints, strict=True)]
    inputs = (
        places,
        np.array(runs),
        tables,
        np.stack([chain(sitter.surface.cones) for sitter in sitters]),
        np.stack([paint.skin.row(footprint) for paint, footprint in painted]),
        np.stack([paint.skin.texture for paint in paints]),
        np.stack([paint.cloth.row(footprint) for paint, footprint in painted]),
        np.stack([paint.cloth.texture for paint in paints]),
        _stacked([paint.light.table for paint in paints]),
        bones,
        np.array(told, dtype=np.int64),
    )
    colors = cuda.device_array((len(places), 3), dtype=np.float64)
    _configured(kernels.color, len(runs), RUN)(numbers, *(cuda.to_device(values) for values in inputs), colors)
    return np.asarray(colors.copy_to_host())


def _stacked(tables: Sequence[np.ndarray]) -> np.ndarray:
    """(N, R, C) of N tables of C columns, filled up with rows of zeros: a lamp of zeros gives no light."""
    out = np.zeros((len(tables), max(len(table) for table in tables), tables[0].shape[1]))
    for rows, table in zip(out, tables, strict=True):
        rows[: len(table)] = table
    return out


def _configured(kernel: Any, groups: int, threads: int) -> Any:
    """A kernel to be launched with so many groups of so many threads."""
    with warnings.catch_warnings():
        # A batch of few small pictures cannot fill a GPU, and need not.
        warnings.simplefilter("ignore", NumbaPerformanceWarning)
        return kernel[groups, threads]
