"""The numbers of MM-Hand's own tables 1 to 3, to stand beside ours.

Source: Z. Wu et al., MM-Hand: 3D-Aware Multi-Modal Guided Hand Generative Network for 3D Hand Pose Synthesis, ACM
Multimedia 2020, tables 1, 2 and 3, as printed. RHP and RHD are two names of the Rendered Hand Pose dataset; "STB" is
the Stereo Hand Pose Tracking Benchmark. Scores are shares unless a name says another unit.
"""

from __future__ import annotations

GENERATORS: dict[str, str] = {
    "cyclegan": "CycleGAN",
    "pix2pix": "Pix2pix",
    "pg2": "PG2",
    "posegan": "Pose-GAN",
    "patn": "PATN",
    "mmhand": "MM-Hand",
}
"""Our names of the generators, in the order of table 1 and figure 5, and the paper's."""

TABLE_1_SCORES = ("ssim_zero", "is", "mask_ssim", "mask_is", "pckb")
"""Our names of table 1's scores, in its order; all are better higher."""

TABLE_1: dict[str, dict[str, tuple[float, ...]]] = {
    "STB": {
        "cyclegan": (0.002, 1.52, 0.611, 2.49, 0.07),
        "pix2pix": (0.027, 2.24, 0.625, 2.632, 0.527),
        "pg2": (0.026, 2.33, 0.638, 2.224, 0.686),
        "posegan": (0.02, 1.01, 0.610, 1.495, 0.05),
        "patn": (0.014, 2.371, 0.656, 2.276, 0.564),
        "mmhand": (0.115, 2.187, 0.677, 2.53, 0.688),
    },
    "RHP": {
        "cyclegan": (0.008, 2.08, 0.816, 2.98, 0.015),
        "pix2pix": (0.010, 2.67, 0.816, 2.85, 0.119),
        "pg2": (0.021, 2.236, 0.822, 2.762, 0.250),
        "posegan": (0.014, 1.03, 0.808, 2.012, 0.014),
        "patn": (0.054, 2.348, 0.830, 2.532, 0.248),
        "mmhand": (0.078, 2.376, 0.844, 2.747, 0.619),
    },
}
"""Dataset -> generator -> scores in the order of :data:`TABLE_1_SCORES`."""

ESTIMATORS: dict[str, str] = {"hpm3d": "3D-HPM", "hand3d": "Hand3D"}
"""Our names of the estimators of table 2 and the paper's; only the first is one of ours."""

ALPHAS = (0.2, 0.4, 0.6, 0.8, 1.0)
"""Columns of table 2: the reduced set's share of the training set."""

TABLE_2: dict[str, dict[str, dict[str, tuple[float, ...]]]] = {
    "hand3d": {
        "STB": {
            "none": (60.28, 48.84, 30.23, 18.74, 9.81),
            "cyclegan": (80.27, 82.57, 75.39, 72.56, 9.81),
            "pix2pix": (72.57, 71.27, 54.13, 50.25, 9.81),
            "pg2": (74.27, 68.22, 58.23, 52.28, 9.81),
            "patn": (70.28, 68.23, 50.37, 40.57, 9.81),
            "posegan": (72.58, 69.27, 52.85, 39.56, 9.81),
            "mmhand": (52.39, 32.37, 27.49, 16.48, 9.81),
        },
        "RHP": {
            "none": (90.12, 60.27, 36.58, 25.29, 20.52),
            "cyclegan": (90.29, 78.29, 60.29, 40.29, 20.52),
            "pix2pix": (82.39, 76.48, 62.16, 80.29, 20.52),
            "pg2": (85.29, 72.83, 64.49, 40.25, 20.52),
            "patn": (84.25, 74.49, 84.35, 60.25, 20.52),
            "posegan": (94.59, 84.38, 67.83, 45.59, 20.52),
            "mmhand": (80.29, 54.38, 28.49, 24.38, 20.52),
        },
    },
    "hpm3d": {
        "STB": {
            "none": (64.16, 48.91, 33.00, 35.51, 15.71),
            "cyclegan": (111.75, 54.55, 51.71, 47.02, 15.71),
            "pix2pix": (99.59, 46.71, 47.83, 46.91, 15.71),
            "pg2": (91.03, 47.00, 47.20, 46.78, 15.71),
            "patn": (99.66, 46.95, 47.84, 40.18, 15.71),
            "posegan": (102.70, 46.65, 48.03, 47.02, 15.71),
            "mmhand": (41.79, 20.24, 16.79, 16.15, 15.71),
        },
        "RHP": {
            "none": (52.21, 50.38, 47.36, 45.43, 35.86),
            "cyclegan": (66.63, 59.63, 57.59, 61.67, 35.86),
            "pix2pix": (65.73, 64.56, 62.31, 55.07, 35.86),
            "pg2": (61.05, 58.95, 57.59, 56.72, 35.86),
            "patn": (56.11, 50.26, 50.64, 51.92, 35.86),
            "posegan": (60.54, 57.44, 53.40, 52.83, 35.86),
            "mmhand": (52.47, 42.22, 41.63, 40.49, 35.86),
        },
    },
}
"""Estimator -> dataset -> generator -> mean EPE at :data:`ALPHAS`; in pixels and mm, says the paper."""

VARIANTS: dict[str, str] = {
    "a": "a) base + contour maps",
    "b": "b) + attention mask",
    "c": "c) + depth maps",
    "d": "d) + curriculum (GCT)",
    "e": "e) + nearest match (INNM)",
}
"""Rows of table 3, each the one above with something added."""

TABLE_3: dict[str, dict[str, float]] = {
    "RHD": {"a": 0.894, "b": 0.905, "c": 0.909, "d": 0.915, "e": 0.929},
    "STB": {"a": 0.981, "b": 0.988, "c": 0.994, "d": 0.997, "e": 0.999},
}
"""Dataset -> variant -> AUC of PCK over 20 to 50 mm."""
