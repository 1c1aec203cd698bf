"""Pose index against its peers: identities, nearest poses, order of pairs.

    python benchmarks/bench_poseindex.py           18,000 poses, a minute
    python benchmarks/bench_poseindex.py --full    also 100,000 and 1,000,000 poses, some minutes and 1.5 GB

Poses are the simulator's random hands seen by one camera. Every table is one interleaved run; goals as stated in
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from gauge import header, interleave, report
from scipy.spatial import cKDTree

from handsynth.hand.camera import Camera
from handsynth.hand.joints import TIPS
from handsynth.poseindex.curriculum import curriculum_order
from handsynth.poseindex.distance import unit
from handsynth.poseindex.identity import identity
from handsynth.poseindex.neighbours import NeighbourIndex
from handsynth.runtime.seeds import rng
from handsynth.simulator.kinematics import random_poses

CAMERA = Camera(600.0, 600.0, 320.0, 240.0, 640, 480)
WORKERS = os.cpu_count() or 1


def poses(purpose: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, 21, 3) mm and (N, 21, 2) px."""
    joints_mm = random_poses(rng(0, "bench_poseindex", purpose), count)
    return joints_mm, CAMERA.project(joints_mm)


def identity_loop(joints_mm: np.ndarray, keypoints_px: np.ndarray) -> np.ndarray:
    """One pose after the other with OpenCV's hull: the obvious way."""
    out = []
    for joints, keypoints in zip(joints_mm, keypoints_px.astype(np.float32), strict=True):
        from_palm = joints - joints[0]
        tips = np.sqrt((from_palm[list(TIPS)] ** 2).sum(1))
        centroid = np.sqrt((from_palm.mean(0) ** 2).sum())
        out.append([*tips, centroid, np.sqrt(cv2.contourArea(cv2.convexHull(keypoints)))])
    return np.array(out)


def identities(count: int = 10_000) -> None:
    """G3."""
    joints_mm, keypoints_px = poses("identity", count)
    loop = identity_loop(joints_mm, keypoints_px)
    worst = np.abs(identity(joints_mm, keypoints_px) / loop - 1).max()
    timing = interleave(
        {
            "handsynth identity": lambda: identity(joints_mm, keypoints_px),
            "Python loop, cv2.convexHull": lambda: identity_loop(joints_mm, keypoints_px),
        },
        rounds=7,
    )
    title = f"G3 pose identity, {count:,} poses; largest relative difference {worst:.1e} (OpenCV's hull is float32)"
    report(title, timing, "handsynth identity", count, {"Python loop, cv2.convexHull": 8})


def nearest(count: int, rounds: int, flat_targets: int) -> None:
    """G1, G2: build and query; faiss answers ``flat_targets`` of the targets and is scaled up."""
    candidates, targets = (identity(*poses(purpose, count)) for purpose in ("candidates", "targets"))

    def ours() -> tuple[np.ndarray, np.ndarray]:
        return NeighbourIndex(candidates, WORKERS).query(targets)

    def plain() -> tuple[np.ndarray, np.ndarray]:
        return cKDTree(unit(candidates)).query(unit(targets), workers=WORKERS)

    def one_thread() -> tuple[np.ndarray, np.ndarray]:
        return NeighbourIndex(candidates, 1).query(targets)

    peers: dict[str, Callable[[], object]] = {"handsynth NeighbourIndex": ours, "scipy cKDTree, plain": plain}
    goals = {"scipy cKDTree, plain": 2.5 if count >= 1_000_000 else 1.0}
    share = 1.0
    faiss = _faiss()
    if faiss is not None:
        share = min(1.0, flat_targets / count)
        some = targets[: round(count * share)]

        def flat() -> object:
            index = faiss.IndexFlatL2(candidates.shape[1])
            centre = unit(candidates).mean(0)
            index.add((unit(candidates) - centre).astype(np.float32))
            return index.search((unit(some) - centre).astype(np.float32), 1)

        name = "faiss IndexFlatL2" + (f" (from {len(some):,} targets)" if share < 1 else "")
        peers[name] = flat
        goals[name] = 15.0
    timing = interleave(peers, rounds, warm_up=count < 1_000_000)
    if share < 1:
        timing.seconds[name][:] /= share

    index, _ = ours()
    units, target_units = unit(candidates), unit(targets)
    best, _ = plain()
    chords = np.linalg.norm(target_units - units[index], axis=1)
    same = np.array_equal(index, one_thread()[0]) if count < 1_000_000 else True
    title = (
        f"{'G1' if count < 50_000 else 'G2'} nearest pose, {count:,} x {count:,}, build and query, {WORKERS} threads; "
        f"{(chords <= best + 1e-12).mean():.2%} optimal"
        + ("" if count >= 1_000_000 else f", one thread gives the same: {'yes' if same else 'NO'}")
    )
    report(title, timing, "handsynth NeighbourIndex", count, goals)


def ordering(count: int = 1_000_000) -> None:
    """G4."""
    distances = rng(0, "bench_poseindex", "order").random(count) / 2
    equal = np.array_equal(curriculum_order(distances), np.argsort(distances, kind="stable"))
    timing = interleave(
        {
            "handsynth curriculum_order": lambda: curriculum_order(distances),
            "numpy argsort, stable": lambda: np.argsort(distances, kind="stable"),
            "numpy argsort, ties undefined": lambda: np.argsort(distances),
        },
        rounds=9,
    )
    title = f"G4 order of {count:,} pairs; equal to the stable argsort: {'yes' if equal else 'NO'}"
    report(title, timing, "handsynth curriculum_order", count, {"numpy argsort, stable": 8})


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        return None
    faiss.omp_set_num_threads(WORKERS)
    return faiss


def main() -> None:
    """Run and print everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="also 100,000 and 1,000,000 poses")
    full = parser.parse_args().full
    header(["numpy", "scipy", "opencv-python", "faiss-cpu"])
    identities()
    nearest(18_000, rounds=9, flat_targets=18_000)
    ordering()
    if full:
        nearest(100_000, rounds=3, flat_targets=20_000)
        nearest(1_000_000, rounds=1, flat_targets=2_000)


if __name__ == "__main__":
    main()
