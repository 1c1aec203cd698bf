"""Depth: the published ranges on their oracles, and the drawn hand against geometry and a real sensor."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from handsynth.conditioning import depth
from handsynth.conditioning.capsules import first_hit
from handsynth.conditioning.depth import RANGES, capsule_depth, hand_relative
from handsynth.hand.joints import BONES, JOINTS, PALM
from handsynth.simulator.kinematics import random_poses

NAN = float("nan")
REAL = Path(__file__).parents[2] / "../shared/data/handpose_x_plus"


def as_map(values: list[list[float]]) -> Tensor:
    return torch.tensor(values)[None, None]


def hands(seed: int, count: int) -> tuple[Tensor, Tensor]:
    """(N, 21, 3) mm float64 and (N, 4) cameras of 64 x 64 px that see them whole."""
    joints = torch.tensor(random_poses(np.random.default_rng(seed), count))
    joints += torch.tensor([0.0, 0.0, 480.0]) - joints.mean(1, keepdim=True)
    camera = torch.tensor([110.0, 110.0, 31.5, 31.5], dtype=torch.float64)
    return joints, camera.expand(count, 4).contiguous()


# --- ranges ---------------------------------------------------------------------------------------------------


def test_mean_centred_oracle() -> None:
    values = as_map([[400.0, 450.0, 500.0], [600.0, 699.0, 700.0], [701.0, 900.0, 2000.0]])
    expected = as_map([[-0.649, -0.399, -0.149], [0.351, 0.846, 1.0], [1.0, 1.0, 1.0]])
    torch.testing.assert_close(depth.mean_centred(values), expected)


def test_cube_oracle() -> None:
    value = as_map([[NAN, 0.04, 0.5], [1.04, 0.7, NAN]])  # the published scale, background as 0
    expected = as_map([[1.0, -1.0, -0.115385], [1.0, 0.269231, 1.0]])
    torch.testing.assert_close(depth.cube(600 + (value - 0.54) * 250, torch.tensor([600.0])), expected)


def test_cube_clamps_before_and_drops_behind() -> None:
    values = as_map([[300.0, 475.0, 600.0, 700.0, 726.0, NAN]])
    found = depth.cube(values, torch.tensor([600.0]))[0, 0, 0]
    assert found[:2].tolist() == pytest.approx([-1, -1], abs=1e-6)
    assert found[3:].tolist() == [1, 1, 1]
    assert -1 < found[2] < 1


def test_near_high_oracle() -> None:
    values = as_map([[500.0, 520.0], [560.0, 600.0]])
    torch.testing.assert_close(depth.near_high(values), as_map([[1.0, 0.8], [0.4, 0.0]]))
    relative = torch.zeros(1, 21)
    relative[0, 4] = -0.5
    joints = depth.near_high_joints(relative, torch.tensor([40.0]), torch.tensor([560.0]), values)
    assert joints[0, 4].item() == pytest.approx(0.6)
    assert joints[0, 0].item() == pytest.approx(0.4)


def test_fixed_scales() -> None:
    values = as_map([[0.0, 350.0, 700.0, 1400.0, NAN]])
    torch.testing.assert_close(depth.signed_700(values), as_map([[-1.0, 0.0, 1.0, 3.0, -1.0]]))
    torch.testing.assert_close(depth.inverted_700(values), as_map([[1.0, 0.5, 0.0, 0.0, 0.0]]))
    torch.testing.assert_close(depth.min_max(as_map([[400.0, 500.0, NAN, 2400.0]])), as_map([[0.0, 0.05, 1.0, 1.0]]))


def test_hand_relative_keeps_the_hand_apart_from_the_background() -> None:
    values = as_map([[400.0, 450.0, 500.0, NAN]])
    torch.testing.assert_close(hand_relative(values), as_map([[-50 / 70, 0.0, 50 / 70, 1.0]]))
    joints = torch.zeros(1, 21, 3)
    joints[0, :, 2] = torch.linspace(420, 480, 21)
    joints[0, 3] = NAN
    within = hand_relative(as_map([[100.0, 400.0, 450.0, 499.0, 900.0, NAN]]), joints)
    torch.testing.assert_close(within, as_map([[-1.0, -1.0, 0.0, 0.98, 1.0, 1.0]]))


@pytest.mark.parametrize("name", sorted(RANGES))
def test_every_range_fills_the_background_and_keeps_maps_apart(name: str) -> None:
    joints, camera = hands(0, 3)
    maps = capsule_depth(joints, camera, 48).float()
    found = RANGES[name](maps)
    assert found.shape == maps.shape
    assert torch.isfinite(found).all()
    background = found[maps.isnan()]
    assert background.unique().numel() == 1
    assert float(background[0]) == {"signed_700": -1, "inverted_700": 0, "near_high": 0}.get(name, 1)
    torch.testing.assert_close(RANGES[name](maps[1:2]), found[1:2], rtol=0, atol=0)
    order = maps[0][~maps[0].isnan()].argsort()
    sign = -1 if name in ("inverted_700", "near_high") else 1
    assert (sign * found[0][~maps[0].isnan()][order].diff() >= 0).all()
    nothing = RANGES[name](torch.full((1, 1, 4, 4), NAN))
    assert (nothing == background[0]).all()


# --- the drawn hand -------------------------------------------------------------------------------------------


def march(ray: Tensor, centres: Tensor, radii: Tensor, parts: list[tuple[int, ...]]) -> float:
    """Least z by brute force: spheres sampled densely over every segment and triangle."""
    best = float("inf")
    share = torch.linspace(0, 1, 201, dtype=torch.float64)
    for part in parts:
        if len(part) == 2:
            weights = torch.stack([1 - share, share], dim=-1)
        else:
            a, b = torch.meshgrid(share, share, indexing="ij")
            keep = a + b <= 1 + 1e-9
            weights = torch.stack([1 - a - b, a, b], dim=-1)[keep]
        c, r = weights @ centres[list(part)], weights @ radii[list(part)]
        along, length2 = c @ ray, ray @ ray
        root2 = along**2 - length2 * ((c * c).sum(-1) - r * r)
        z = (along - root2.clamp_min(0).sqrt()) / length2
        best = min([best, *z[root2 >= 0].tolist()])
    return best


def test_every_surface_against_brute_force() -> None:
    generator = torch.Generator().manual_seed(0)
    for trial in range(12):
        centres = torch.rand((5, 3), generator=generator, dtype=torch.float64) * 60 + torch.tensor([-30, -30, 300])
        radii = torch.rand(5, generator=generator, dtype=torch.float64) * (25 if trial % 3 == 0 else 10) + 3
        segments, triangles = [(0, 1), (1, 2), (2, 0), (3, 4)], [(0, 1, 2)]
        rays = torch.rand((60, 3), generator=generator, dtype=torch.float64) * 0.3 - 0.15
        rays[:, 2] = 1
        found = first_hit(rays.T[None], centres[None], radii[None], segments, triangles)[0]
        for ray, z in zip(rays, found, strict=True):
            expected = march(ray, centres, radii, [*segments, *triangles])
            if z.isnan():
                assert expected == float("inf")
            elif expected != float("inf"):  # a grazing ray may slip between the samples
                assert z.item() == pytest.approx(expected, abs=0.05)


def test_one_capsule_is_the_analytic_cylinder() -> None:
    # A cylinder of radius r across the view at distance a: z (1 + y^2) - a = -sqrt(r^2 (1 + y^2) - (a y)^2).
    centres = torch.tensor([[[-1e3, 0.0, 400.0], [1e3, 0.0, 400.0]]], dtype=torch.float64)
    y = torch.linspace(-0.05, 0.05, 101, dtype=torch.float64)
    rays = torch.stack([torch.full_like(y, 0.1), y, torch.ones_like(y)])[None]
    found = first_hit(rays, centres, torch.full((1, 2), 12.0, dtype=torch.float64), [(0, 1)], [(0, 1, 0)])[0]
    root2 = 144 * (1 + y**2) - (400 * y) ** 2
    expected = torch.where(root2 >= 0, (400 - root2.clamp_min(0).sqrt()) / (1 + y**2), NAN)
    torch.testing.assert_close(found, expected, equal_nan=True, atol=1e-9, rtol=0)
    assert 0 < int(found.isnan().sum()) < 101


def test_a_joint_lies_one_radius_behind_the_surface_at_most() -> None:
    joints, camera = hands(1, 8)
    maps = capsule_depth(joints, camera, 64)
    palm = (joints[:, 9] - joints[:, 0]).norm(dim=-1)
    for hand, cam, drawn, length in zip(joints, camera, maps[:, 0], palm, strict=True):
        for point in torch.cat([hand, torch.stack([hand[list(bone)].mean(0) for bone in BONES])]):
            u, v = (round(float(point[i] / point[2] * cam[i] + cam[i + 2])) for i in range(2))
            z = float(drawn[v, u])
            assert z < float(point[2])  # covered by flesh at least
        near = drawn[~drawn.isnan()]
        thickest = 0.21 * float(length)
        assert float(hand[:, 2].min()) - thickest < float(near.min()) < float(hand[:, 2].min())
        assert float(near.max()) < float(hand[:, 2].max()) + thickest


def test_nothing_is_drawn_far_from_the_hand() -> None:
    joints, camera = hands(2, 4)
    maps = capsule_depth(joints, camera, 64)[:, 0]
    ends = joints[:, list(BONES)].double()
    for hand, cam, drawn, bone in zip(joints, camera, maps, ends, strict=True):
        v, u = torch.nonzero(~drawn.isnan(), as_tuple=True)
        z = drawn[v, u]
        points = torch.stack([(u - cam[2]) / cam[0] * z, (v - cam[3]) / cam[1] * z, z], dim=-1)
        a, ab = bone[:, 0], bone[:, 1] - bone[:, 0]
        share = (((points[:, None] - a) * ab).sum(-1) / (ab * ab).sum(-1)).clamp(0, 1)
        apart = (points[:, None] - a - share[..., None] * ab).norm(dim=-1).min(1).values
        palm = float((hand[9] - hand[0]).norm())
        assert float(apart.max()) < 0.35 * palm  # the web is farthest from any bone
        assert float(apart.min()) > 0.05 * palm


def test_sizes_scale_and_batches_agree() -> None:
    joints, camera = hands(3, 5)
    maps = capsule_depth(joints, camera, 64)
    alone = torch.cat([capsule_depth(joints[i : i + 1], camera[i : i + 1], 64) for i in range(5)])
    torch.testing.assert_close(alone, maps, equal_nan=True)
    # Twice as large and twice as far is the same picture.
    torch.testing.assert_close(capsule_depth(joints * 2, camera, 64) / 2, maps, equal_nan=True)
    fine = camera * 3
    fine[:, 2:] = (camera[:, 2:] + 0.5) * 3 - 0.5
    large = capsule_depth(joints, fine, 192)
    torch.testing.assert_close(large[..., 1::3, 1::3], maps, equal_nan=True)
    single = capsule_depth(joints.float(), camera.float(), 64)
    assert (single.isnan() != maps.isnan()).float().mean() < 1e-3
    assert (single - maps).nan_to_num(0).abs().max() < 0.5


def test_missing_joints_leave_their_bones_out() -> None:
    joints, camera = hands(4, 6)
    whole = capsule_depth(joints, camera, 64)
    tip = JOINTS.index("index_tip")
    missing = joints.clone()
    missing[:, tip] = NAN
    part = capsule_depth(missing, camera, 64)
    assert int(part.isnan().sum()) > int(whole.isnan().sum())
    kept = ~part.isnan()
    assert (part[kept] >= whole[kept]).all()
    alone = joints.clone()
    alone[:, [i for i in range(21) if i not in PALM]] = NAN
    assert not capsule_depth(alone, camera, 64).isnan().all()
    no_scale = joints.clone()
    no_scale[:, 0] = NAN
    assert not capsule_depth(no_scale, camera, 64).isnan().all()
    assert capsule_depth(torch.full_like(joints, NAN), camera, 64).isnan().all()


def test_what_lies_behind_the_camera_is_not_seen() -> None:
    joints, camera = hands(5, 1)
    assert capsule_depth(joints - torch.tensor([0.0, 0.0, 2000.0]), camera, 32).isnan().all()


@pytest.mark.skipif(not REAL.is_dir(), reason="no real depth frames in ../shared/data/handpose_x_plus")
def test_a_real_sensor_sees_the_hand_where_it_is_drawn() -> None:
    """20 frames of one hand with labelled joints: half of the drawn pixels within 8 mm of the sensor (5.3 measured)."""
    errors = []
    for labels in sorted(REAL.glob("*_Joint.obj")):
        joints = [line.split()[1:4] for line in labels.read_text().splitlines() if line.startswith("v ")]
        name = labels.name.removesuffix("Joint.obj")
        fx, fy, cx, cy = np.array((REAL / f"{name}intrinsics.txt").read_text().replace(",", " ").split(), dtype=float)[
            :4
        ]
        measured = cv2.imread(str(REAL / f"{name}depth.png"), cv2.IMREAD_UNCHANGED).astype(np.float64)
        camera = torch.tensor([[fx / 4, fy / 4, (cx + 0.5) / 4 - 0.5, (cy + 0.5) / 4 - 0.5]])
        drawn = capsule_depth(torch.tensor(np.array(joints, dtype=np.float64)[None]), camera.double(), 160)
        measured = measured[2::4, 2::4]
        error = drawn[0, 0, : len(measured)].numpy() - measured
        errors.append(error[np.isfinite(error) & (measured > 0)])
    assert np.median(np.abs(np.concatenate(errors))) < 8


def test_ranges_of_a_hand_lead_back_to_its_depth() -> None:
    joints = torch.from_numpy(random_poses(np.random.default_rng(2), 3)).float()
    joints = joints - joints.mean(1, keepdim=True) + torch.tensor([0.0, 0, 450])
    maps = capsule_depth(joints, torch.tensor([[60.0, 60, 15.5, 15.5]]).repeat(3, 1), 32)
    assert maps.isfinite().any()
    near = depth.mm_from_hand_relative(hand_relative(maps, joints), joints)
    again = depth.hand_alone(near, joints, before_mm=20.0, behind_mm=10.0)
    torch.testing.assert_close(again, maps, atol=1e-3, rtol=0, equal_nan=True)
    torch.testing.assert_close(
        depth.mm_from_inverted_700(depth.inverted_700(maps)), maps, atol=1e-3, rtol=0, equal_nan=True
    )


def test_the_hand_alone_lies_about_its_joints() -> None:
    joints = torch.full((2, 21, 3), NAN)
    joints[0, :2, 2] = torch.tensor([400.0, 500.0])
    maps = torch.tensor([379.0, 380, 450, 510, 511, NAN]).expand(2, 1, 1, 6)
    kept = depth.hand_alone(maps, joints, before_mm=20.0, behind_mm=10.0).isfinite()
    assert kept[:, 0, 0].tolist() == [[False, True, True, True, False, False], [False] * 6]
