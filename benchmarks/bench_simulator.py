"""The tracer against a plain rasterisation of the same hand's triangles, and whole simulated images.

    python benchmarks/bench_simulator.py              eight hands, half a minute
    python benchmarks/bench_simulator.py --hands N    more or fewer

Every table is one interleaved run on one core. The rasteriser is a z-buffer compiled by numba that gives depth alone;
the tracer gives depth, normals, parts and places on the hand. Meshes are made beforehand and not counted: a pose that
changes from image to image would need a new one each time, which the last table shows.
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

from handsynth.hand.camera import Camera
from handsynth.simulator import SimulatorSettings, simulate, warm_up
from handsynth.simulator.mesh import Mesh, hand_mesh
from handsynth.simulator.scene import draw_scene
from handsynth.simulator.surface import Surface
from handsynth.simulator.trace import trace
from tests.simulator.rasterise import triangle_depth_mm

SPACINGS_MM = (1.0, 2.0)
IMAGES_PER_SECOND = 8.0  # of two cores at 128 px: the goal


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


if __name__ == "__main__":
    main()
