"""Pose machines: published sizes and fixed-weight outputs, and the reading of maps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from handsynth.conditioning.heatmaps import heatmaps
from handsynth.networks.cpm import (
    CpmLayout,
    DepthHead,
    DepthPoseMachine,
    PoseMachine,
    cpm_stage,
    initialise_he,
    peaks,
    trunk,
    upsample,
)
from tests.fixed_weights import close, fill, parameters, summary, wave

SMALL = CpmLayout(
    trunk=((1, 4, True), (2, 6, True)), features=5, head_width=7, stages=3, stage_width=6, stage_convs=2, kernel=3
)


def near(values: tuple[float, ...]) -> Any:
    """The rule's sine has arguments up to 1.7e6 in the depth head, so the order of their sum shows in the 8th digit."""
    return pytest.approx(values, rel=1e-7, abs=1e-7)


def test_networks_have_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        assert parameters(trunk(3)) == 15_894_720
        assert parameters(cpm_stage(21 + 128, 21)) == 4_165_653
        assert parameters(cpm_stage(22 + 128, 22)) == 4_172_054
        assert parameters(PoseMachine(3, 21)) == 36_799_806
        assert parameters(PoseMachine(3, 22)) == 36_832_324
        assert parameters(DepthPoseMachine(3, 21, 256)) == 52_249_448
        assert parameters(DepthPoseMachine(3, 22, 256)) == 52_812_655
        assert parameters(DepthPoseMachine(21, 21, 256)) == 52_259_816


def test_pose_machine_under_fixed_weights() -> None:
    machine = fill(PoseMachine(3, 21), gain=24)
    with torch.no_grad():
        stages = [upsample(maps, 64) for maps in machine(wave(3))]
    assert [maps.shape for maps in stages] == [(1, 21, 64, 64)] * 6
    assert summary(stages[0]) == close((0.08586927, 1.01133863, 1.00217529, 1.06683458, 0.57069158))
    assert summary(stages[5]) == close((0.05932092, 0.51256510, -0.13589551, 0.56752111, -0.06275323))


def test_depth_network_of_the_separate_form_under_fixed_weights() -> None:
    machine = fill(DepthPoseMachine(21, 21, 256, relu=False, depth_only=True), gain=24)
    with torch.no_grad():
        stages, depths = machine(wave(21, 256))
    assert len(stages) == 5
    assert summary(depths) == near((-0.37649402, 11.58475923, 16.68082486, 16.30611688, -28.36450201))


def test_pose_machine_with_depth_under_fixed_weights() -> None:
    machine = fill(DepthPoseMachine(3, 22, 256, relu=False), gain=24)
    with torch.no_grad():
        stages, depths = machine(wave(3, 256))
    assert stages[5].shape == (1, 22, 32, 32)
    assert summary(stages[5]) == close((0.51595156, 2.13394733, 0.10467801, 0.73740026, -0.50517670))
    assert summary(depths) == near((0.58956631, 7.19671718, 13.65558856, 6.83641873, -10.83856846))


@pytest.mark.parametrize("batch_norm", [False, True])
def test_layout_sets_stride_stages_and_widths(batch_norm: bool) -> None:
    layout = CpmLayout(**{name: getattr(SMALL, name) for name in SMALL.__struct_fields__} | {"batch_norm": batch_norm})
    stages, depths = DepthPoseMachine(3, 21, 32, layout, hidden=9)(torch.zeros(2, 3, 32, 32))
    assert [maps.shape for maps in stages] == [(2, 21, 8, 8)] * 3
    assert depths.shape == (2, 21)
    assert layout.stride == 4
    assert CpmLayout().stride == 8


def test_every_stage_sees_the_features_and_the_maps_before_it() -> None:
    machine = initialise_he(PoseMachine(3, 21, SMALL), torch.Generator().manual_seed(0))
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        before = machine(images)
        machine.refine[0][-1].bias += 1  # the maps of stage 2
        after = machine(images)
    assert torch.equal(before[0], after[0])
    assert torch.allclose(before[1] + 1, after[1], atol=1e-5)
    assert not torch.allclose(before[2], after[2])


def test_the_idle_stage_of_the_depth_network_neither_runs_nor_learns() -> None:
    machine = DepthPoseMachine(3, 21, 32, SMALL, depth_only=True)
    _, depths = machine(torch.rand(1, 3, 32, 32))
    depths.sum().backward()
    idle = {id(weight) for weight in machine.machine.refine[-1].parameters()}
    for weight in machine.parameters():
        assert (weight.grad is None) == (id(weight) in idle)


def test_depth_head_has_relus_where_asked() -> None:
    assert sum(isinstance(layer, nn.ReLU) for layer in DepthHead(21, 4, relu=True).layers) == 2
    linear = DepthHead(21, 4, relu=False).double()
    a, b = torch.rand(2, 1, 21, 4, 4, dtype=torch.float64)
    zero = linear(torch.zeros_like(a))
    assert torch.allclose(linear(a + b) - zero, linear(a) + linear(b) - 2 * zero)


def test_a_depth_branch_needs_a_stage_before_the_last() -> None:
    with pytest.raises(ValueError, match="two stages"):
        DepthPoseMachine(3, 21, 32, CpmLayout(stages=1))


@given(
    seed=st.integers(0, 10_000),
    sigma=st.floats(0.85, 3.0),  # below 0.81 the cut takes the third value of a peak beyond the border
    low=st.sampled_from([-0.4, 3.0]),
)
@settings(max_examples=40, deadline=None)
def test_peaks_of_drawn_maps_are_the_keypoints(seed: int, sigma: float, low: float) -> None:
    """To a tenth of a map pixel, up to the border, in spite of the cut."""
    side = 16
    draw = torch.rand((2, 21, 2), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    places = low + draw * (side - 1 - 2 * low)
    found = peaks(heatmaps(places, side, sigma, 0.0099))
    assert (found - places).abs().max() < 0.1
    whole = peaks(heatmaps(places, side, sigma, 0.0099), subpixel=False)
    assert torch.equal(whole, places.round().clamp(0, side - 1))


def test_peaks_of_maps_without_one_stay_inside() -> None:
    generator = torch.Generator().manual_seed(0)
    for maps in (torch.zeros(1, 21, 8, 8), -torch.ones(1, 21, 8, 8), torch.randn((1, 21, 8, 8), generator=generator)):
        found = peaks(maps)
        assert found.isfinite().all()
        assert (found >= -0.5).all()
        assert (found <= 7.5).all()


def test_weights_depend_on_the_generator_alone() -> None:
    first, second, other = (
        initialise_he(PoseMachine(3, 21, SMALL), torch.Generator().manual_seed(seed)).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["trunk.0.weight"], other["trunk.0.weight"])
