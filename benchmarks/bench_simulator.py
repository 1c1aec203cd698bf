"""The tracer against a plain rasterisation of the same hand's triangles, and whole simulated images.

    python benchmarks/bench_simulator.py              eight hands, half a minute
    python benchmarks/bench_simulator.py --hands N    more or fewer

Every table is one interleaved run on one core. The rasteriser is a z-buffer compiled by numba that gives depth alone;
the tracer gives depth, normals, parts and places on the hand. Meshes are made beforehand and not counted: a pose that
changes from image to image would need a new one each time, which the table of whole images shows. Where numba finds a
GPU, the last table is of batches traced and coloured there; places and the camera's work are not in it.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from gauge import header, interleave, report
from numba import cuda as numba_cuda

from handsynth.hand.camera import Camera
from handsynth.simulator import SimulatorSettings, cuda, simulate, warm_up
from handsynth.simulator.light import blockers
from handsynth.simulator.mesh import Mesh, hand_mesh
from handsynth.simulator.paint import Sitter, painted
from handsynth.simulator.picture import draw_stage
from handsynth.simulator.scene import draw_scene
from handsynth.simulator.surface import Surface
from handsynth.simulator.trace import trace
from tests.simulator.rasterise import triangle_depth_mm

SPACINGS_MM = (1.0, 2.0)
IMAGES_PER_SECOND = 8.0  # of two cores at 128 px: the goal
GPU_IMAGES_PER_SECOND = 1000.0  # at 256 px: the goal
GPU_BATCH = 256


def hands(count: int, size: int) -> list[tuple[Surface, Camera]]:
    scenes = [draw_scene(SimulatorSettings(size=size), index) for index in range(count)]
    return [(Surface.of(scene.hands[0].cones), scene.rig.lenses[0].camera) for scene in scenes]


def agreement(posed: list[tuple[Surface, Camera]], meshes: list[Mesh]) -> float:
    """Median difference of depth, mm: both peers draw the same thing."""
    apart = []
    for (surface, camera), mesh in zip(posed, meshes, strict=True):
        drawn = triangle_depth_mm(camera, mesh.vertices_mm, mesh.faces)
        apart.append(np.abs(drawn - trace(surface, camera).depth_mm(camera.height, camera.width)))
    return float(np.nanmedian(np.concatenate(apart)))


def sitters(count: int, size: int) -> list[Sitter]:
    """Hands of one size before their cameras, with all that colours them."""
    settings = SimulatorSettings(size=size)
    out = []
    for index in range(count):
        scene = draw_scene(settings, index)
        lens, surface = scene.rig.lenses[0], Surface.of(scene.hands[0].cones)
        paint = draw_stage(settings.looks, settings.seed, scene, lens).paint
        out.append(Sitter(surface, lens.camera, blockers([surface]), paint))
    return out


def on_gpu(rounds: int) -> None:
    """Depth and parts of a batch on a GPU, there to stay, and hands in colour, brought back."""
    if not cuda.is_available():
        print("\nBatches on a GPU are left out: numba finds none here, or no CUDA toolkit")
        return
    posed = sitters(GPU_BATCH, 256)
    surfaces, cameras = [sitter.surface for sitter in posed], [sitter.camera for sitter in posed]

    def images() -> tuple[np.ndarray, ...]:
        return tuple(image.copy_to_host() for image in cuda.depth_and_parts(surfaces, cameras))

    def stay() -> None:
        cuda.depth_and_parts(surfaces, cameras)
        numba_cuda.synchronize()

    views = [trace(surface, camera) for surface, camera in zip(surfaces, cameras, strict=True)]
    (depth, parts), expected = images(), np.stack([view.depth_mm(256, 256) for view in views])
    strays = np.count_nonzero(parts != np.stack([view.mask(256, 256) for view in views]))
    print(f"\nGPU and CPU: depth at most {np.nanmax(np.abs(depth - expected)):.2g} mm apart, {strays} pixels of others")
    ours = "GPU: depth and parts"
    peers = {
        ours: stay,
        "GPU: hands in colour, brought back": lambda: cuda.paint_batch(posed),
        "CPU, one core: hands in colour": lambda: [painted(sitter) for sitter in posed],
    }
    timing = interleave(peers, rounds)
    report(f"Batches of {GPU_BATCH} hands, 256 px", timing, ours, GPU_BATCH)
    for name in list(peers)[:2]:
        pace = GPU_BATCH / timing.median(name)
        verdict = "met" if pace >= GPU_IMAGES_PER_SECOND else "MISSED"
        print(f"  {pace:,.0f} images/s by {name}; goal {GPU_IMAGES_PER_SECOND:,g}: {verdict}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hands", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    count, rounds = options.hands, options.rounds
    header(("numba", "numpy", "scikit-image"))
    start = time.perf_counter()
    warm_up()
    print(f"warm_up: {time.perf_counter() - start:.1f} s (kernels compiled, or read from the cache of an earlier run)")
    for size in (128, 256):
        posed = hands(count, size)
        peers = {"traced": lambda posed=posed: [trace(surface, camera) for surface, camera in posed]}
        for spacing in SPACINGS_MM:
            meshes = [hand_mesh(surface, spacing, arm_mm=250.0) for surface, _ in posed]
            triangles = sum(len(mesh.faces) for mesh in meshes) // count
            name = f"{triangles // 1000}k triangles of {spacing:g} mm"
            peers[name] = lambda posed=posed, meshes=meshes: [
                triangle_depth_mm(camera, mesh.vertices_mm, mesh.faces)
                for (_, camera), mesh in zip(posed, meshes, strict=True)
            ]
            print(f"{size} px, {name}: median difference of depth {agreement(posed, meshes):.3f} mm")
        report(f"Depth of one hand, {size} px", interleave(peers, rounds), "traced", count)
    posed = hands(count, 128)
    settings = SimulatorSettings(size=128)
    whole = {
        "simulate(): colour, depth, mask": lambda: list(simulate(settings, 0, count)),
        "traced": lambda: [trace(surface, camera) for surface, camera in posed],
        "meshing alone, 2 mm": lambda: [hand_mesh(surface, 2.0) for surface, _ in posed],
    }
    timing = interleave(whole, rounds)
    report("Whole images, 128 px, one core", timing, "simulate(): colour, depth, mask", count)
    pace = count / timing.median("simulate(): colour, depth, mask")
    verdict = "met" if 2 * pace >= IMAGES_PER_SECOND else "MISSED"
    print(f"  two cores: {2 * pace:.0f} images/s by twice one core; goal {IMAGES_PER_SECOND:g}: {verdict}")
    on_gpu(rounds)


if __name__ == "__main__":
    main()
