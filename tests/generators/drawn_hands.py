"""Pairs of simple drawn hands for generator tests: soft skin-coloured bones on a plain ground, one look a pair."""

from __future__ import annotations

import numpy as np
import torch

from handsynth.hand.joints import BONES, CHAINS, J
from handsynth.training.system import HandBatch, PairBatch

HAND_DEPTH_MM = 500.0


def drawn_pairs(count: int, size: int, seed: int = 0) -> PairBatch:
    """Pairs of the same look (skin, ground) in different poses."""
    rng = np.random.default_rng(seed)
    skin, ground = rng.uniform(0.5, 1, (count, 3)), rng.uniform(0, 0.4, (count, 3))
    return PairBatch(_hands(rng, skin, ground, size), _hands(rng, skin, ground, size))


def _hands(rng: np.random.Generator, skin: np.ndarray, ground: np.ndarray, size: int) -> HandBatch:
    count = len(skin)
    joints = np.stack([_pose(rng) for _ in range(count)])
    camera = np.array([2.0 * size, 2.0 * size, size / 2 - 0.5, size / 2 - 0.5])
    keypoints = joints[..., :2] / joints[..., 2:] * camera[:2] + camera[2:]
    rgb = np.stack([_draw(keypoints[i], skin[i], ground[i], size) for i in range(count)])
    return HandBatch(
        slots=torch.arange(count),
        keypoints_px=torch.tensor(keypoints, dtype=torch.float32),
        joints_mm=torch.tensor(joints, dtype=torch.float32),
        joint_labelled=torch.ones(count, J, dtype=torch.bool),
        camera=torch.tensor(camera, dtype=torch.float32).repeat(count, 1),
        rgb=torch.tensor(rgb, dtype=torch.float32),
    )


def _pose(rng: np.random.Generator) -> np.ndarray:
    """(21, 3) mm: five fingers fanned out from a wrist, turned in the image and bent towards the camera at random."""
    joints = np.zeros((J, 3))
    turn = rng.uniform(-np.pi, np.pi)
    for finger, chain in enumerate(CHAINS):
        angle = turn + 0.35 * (finger - 2) + rng.uniform(-0.1, 0.1)
        direction = np.array([np.sin(angle), -np.cos(angle), 0.0])
        bend, reach = rng.uniform(0, 0.5), np.zeros(3)
        for joint, length in zip(chain, (70, 35, 25, 20), strict=True):
            reach = reach + length * (np.cos(bend) * direction - np.sin(bend) * np.array([0, 0, 1.0]))
            joints[joint] = reach
    return joints - joints.mean(0) + np.array([*rng.uniform(-10, 10, 2), HAND_DEPTH_MM])


def _draw(keypoints_px: np.ndarray, skin: np.ndarray, ground: np.ndarray, size: int) -> np.ndarray:
    """(3, S, S) in [0, 1]."""
    y, x = np.mgrid[:size, :size]
    cover = np.zeros((size, size))
    for parent, child in BONES:
        for share in np.linspace(0, 1, 8):
            u, v = (1 - share) * keypoints_px[parent] + share * keypoints_px[child]
            cover = np.maximum(cover, np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * (0.03 * size) ** 2)))
    return ground[:, None, None] + (skin - ground)[:, None, None] * cover
