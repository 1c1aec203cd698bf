"""The kernels of ``cuda``: the functions of ``field``, ``trace``, ``light``, ``complexion`` and ``render`` on a GPU.

To trace, a group of threads has the table of one hand and the lists of rows of ``TILES`` blocks of pixels in shared
memory; one thread per block lists the rows and walks the common stretch, then each thread follows the ray of one pixel.
To paint, a group has one run of neighbouring points, as ``light`` has on a CPU; two of its threads list the cones that
take light away, then each thread lights and colours one point.
"""

from __future__ import annotations

import math
from typing import Any

from numba import cuda as numba_cuda
from numba import float64, int64, uint32
from numba.extending import overload

from handsynth.hand.joints import OTHER_BODY
from handsynth.simulator import complexion, environment, field, light, render, trace
from handsynth.simulator.coat import COLUMNS as LOOKS
from handsynth.simulator.field import COLUMNS
from handsynth.simulator.light import RUN
from handsynth.simulator.stretched import FLAT_COLUMNS
from handsynth.simulator.trace import BLOCK

cuda: Any = numba_cuda  # whose type hints know nothing of what kernels may call
PIXELS = BLOCK * BLOCK  # threads of a block of pixels
TILES = 8  # blocks of pixels of a group of threads
THREADS = TILES * PIXELS
ROWS = 128  # of a hand's table, at most
LIST = 64  # rows that a ray may meet, at most
BONES = 96  # cones that may take light away in one picture, at most


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
        values: (LIST,) scratch of this thread.

    Returns:
        Table, rows, trunk and count as for ``field.distance``; row and column of the pixel; x and y of its ray; and the
        z of the surface there, 0 where none is met or the pixel lies beyond the picture.
    """
    thread, across, down = cuda.threadIdx.x, (width + BLOCK - 1) // BLOCK, (height + BLOCK - 1) // BLOCK
    groups = (across * down + TILES - 1) // TILES
    hand, first = cuda.blockIdx.x // groups, cuda.blockIdx.x % groups * TILES
    lens, bent = lenses[hand], bents[hand * bends, : height * bends]
    space = cuda.shared.array((ROWS, COLUMNS), float64)
    lists = cuda.shared.array((TILES, LIST), uint32)
    counts = cuda.shared.array((TILES, 2), int64)
    ranges = cuda.shared.array((TILES, 2), float64)
    t = space[: tables.shape[1]]
    for number in range(thread, t.size, THREADS):
        place, column = number // COLUMNS, number % COLUMNS
        t[place, column] = tables[hand, place, column]
    cuda.syncthreads()
    if thread < TILES:
        top, left = (first + thread) // across * BLOCK, (first + thread) % across * BLOCK
        counts[thread, 1] = 0
        if top < height:
            trunk, count, begin, far = trace.block(t, lens, bent, height, width, top, left, lists[thread], values)
            counts[thread, 0], counts[thread, 1] = trunk, count
            ranges[thread, 0], ranges[thread, 1] = begin, far
    cuda.syncthreads()
    tile, pixel = thread // PIXELS, thread % PIXELS
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
def describe(
    tables: Any,
    lenses: Any,
    bents: Any,
    bends: int,
    height: int,
    width: int,
    depth: Any,
    parts: Any,
    numbers: Any,
) -> None:
    """Write what ``trace.describe`` says of every pixel that sees its hand.

    Args:
        tables, lenses, bents, bends, height, width: of the batch.
        depth: (T,) camera z by thread, as the threads of all groups are numbered; 0 where no hand is. The numbers of
            the threads rise as ``trace`` goes through the pixels.
        parts: (T,) mask codes, alike.
        numbers: (T, 16) what it says, alike; untouched where no hand is.
    """
    values, few = cuda.local.array(LIST, float64), cuda.local.array(LIST, uint32)
    t, rows, trunk, count, _, _, x, y, z = _arrive(tables, lenses, bents, bends, height, width, values)
    place = cuda.grid(1)
    depth[place], parts[place] = z, 0
    if z > 0.0:
        trace.describe(t, rows, trunk, count, values, x * z, y * z, z, few, numbers[place])
        parts[place] = int(numbers[place, trace.PART])


@cuda.jit
def depth_and_parts(
    tables: Any, lenses: Any, bents: Any, bends: int, height: int, width: int, depth: Any, parts: Any
) -> None:
    """Fill depth (N, H, W) with camera z, NaN where no hand is, and parts (N, H, W) with mask codes."""
    values = cuda.local.array(LIST, float64)
    t, rows, _, count, row, column, x, y, z = _arrive(tables, lenses, bents, bends, height, width, values)
    if row >= height or column >= width:
        return
    hand = cuda.grid(1) // (cuda.gridsize(1) // depth.shape[0])
    depth[hand, row, column], parts[hand, row, column] = math.nan, 0
    if z > 0.0:
        near, cloth = trace.covering(t, rows, count, x * z, y * z, z)
        depth[hand, row, column] = z
        parts[hand, row, column] = OTHER_BODY if cloth else t[near, field.PART]


@cuda.jit
def color(
    numbers: Any,
    places: Any,
    runs: Any,
    tables: Any,
    chains: Any,
    people: Any,
    skins: Any,
    sleeves: Any,
    cloths: Any,
    lights: Any,
    bones: Any,
    told: Any,
    colors: Any,
) -> None:
    """Write the linear colours of points of N hands.

    Args:
        numbers: (T, 16) of ``describe``.
        places: (M,) which of its rows are the points, each hand's together.
        runs: (K, 3) number of the hand, first point, and how many points: one run per group of threads.
        tables: (N, R, 16) the hands.
        chains: (N, 16, 17) of ``stretched.chain``.
        people, skins: (N, 21) rows and (N, C, C, C) textures of ``Skin``.
        sleeves, cloths: (N, 10) rows and (N, D, D, D) textures of ``Cloth``.
        lights: (N, L, 3) of ``Light.table``.
        bones: (N, B, 16) cones that take light away.
        told: (N, 2) how many cones there are of each, and whether shadows are wanted.
        colors: (M, 3), filled.
    """
    thread = cuda.threadIdx.x
    hand, start, count = runs[cuda.blockIdx.x, 0], runs[cuda.blockIdx.x, 1], runs[cuda.blockIdx.x, 2]
    points = cuda.shared.array((RUN, 3), float64)
    normals = cuda.shared.array((RUN, 3), float64)
    lists = cuda.shared.array((2, BONES), uint32)
    counts = cuda.shared.array(2, int64)
    scratch = cuda.local.array(BONES, float64)
    flat, look = cuda.local.array(FLAT_COLUMNS, float64), cuda.local.array(LOOKS, float64)
    shading, lamps, shadows = bones[hand, : told[hand, 0]], lights[hand], told[hand, 1] > 0
    to_light, softness = lamps[environment.LAMPS], lamps[environment.LAMPS + 2, 0]
    if thread < count:
        for axis in range(3):
            points[thread, axis] = numbers[places[start + thread], trace.POINT + axis]
            normals[thread, axis] = numbers[places[start + thread], trace.NORMAL + axis]
    cuda.syncthreads()
    if shadows and thread < 2:
        x, y, z, radius = light.ball(points[:count])
        if thread == 0:
            counts[0] = light.rows_around(shading, x, y, z, radius, lists[0])
        else:
            counts[1] = light.rows_in_the_way(shading, x, y, z, radius, to_light, softness, lists[1])
    cuda.syncthreads()
    if thread < count:
        lit, openness = 1.0, 1.0
        if shadows:
            point, normal = points[thread], normals[thread]
            openness = light.occlusion(shading, lists[0], counts[0], scratch, point, normal)
            lit = light.shadow(shading, lists[1], counts[1], scratch, point, normal, to_light, softness)
        seen = numbers[places[start + thread]]
        complexion.hand_at(
            people[hand], skins[hand], sleeves[hand], cloths[hand], chains[hand], tables[hand], seen, flat, look
        )
        render.shade_at(lamps, look, seen, lit, openness, colors[start + thread])
