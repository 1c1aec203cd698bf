"""Samples for tests: plausible poses before a camera, with pixels that show where they came from."""

from __future__ import annotations

import numpy as np

from handsynth.hand.camera import Camera, RigidTransform
from handsynth.hand.sample import LABELLED, HandSample
from handsynth.simulator.kinematics import random_poses


def make_samples(count: int, seed: int = 0, height: int = 96, width: int = 128) -> list[HandSample]:
    """Hands with colour (a gradient plus noise), depth, mask, camera and joints that project to their keypoints."""
    rng = np.random.default_rng(seed)
    joints = random_poses(rng, count)
    camera = Camera(130.0, 128.0, 61.5, 49.0, width, height)
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    samples = []
    for number, pose in enumerate(joints):
        pose = (pose - pose.mean(0) + (0, 0, 420)).astype(np.float32)
        noise = rng.integers(0, 40, (height, width))
        rgb = np.stack([u * 1.2, v * 1.5, noise + 10 * (number % 20)], axis=-1).clip(0, 255).astype(np.uint8)
        depth = (400 + 0.5 * u + 0.25 * v).astype(np.float32)
        depth[:5] = np.nan
        samples.append(
            HandSample(
                key=f"s{number:04d}",
                rgb=rgb,
                depth_mm=depth,
                mask=((u // 8 + v // 8) % 19).astype(np.uint8),
                joints_mm=pose,
                keypoints_px=camera.project(pose).astype(np.float32),
                joint_state=np.full(21, LABELLED, dtype=np.uint8),
                keypoint_state=np.full(21, LABELLED, dtype=np.uint8),
                visible=rng.random(21) > 0.3,
                camera=camera,
                world_from_camera=RigidTransform.of(rng.normal(size=3), rng.normal(size=3) * 100),
                side="right",
                subject=f"p{number % 4}",
                sequence=f"q{number % 8}",
                frame=str(number),
                moment=f"m{number // 2}",
                split="test" if number % 4 == 3 else "train",
                extra={"palm_mm": pose[:1] + 5, "palm_px": camera.project(pose[:1] + 5).astype(np.float32)},
            )
        )
    return samples
