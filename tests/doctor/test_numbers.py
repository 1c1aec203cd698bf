"""Checks on labels alone: honest ones pass, wrong ones are found, and what a source lacks is not checkable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from handsynth.doctor import scores as scores_module
from handsynth.doctor.labels import project, read_groups
from handsynth.doctor.numbers import Evidence, check_numbers
from handsynth.doctor.scores import score
from handsynth.doctor.thresholds import checks_of, manifest_of
from handsynth.hand.camera import Camera
from handsynth.hand.joints import INDEX
from handsynth.hand.rows import column, to_table
from handsynth.hand.sample import ABSENT, DERIVED, HandSample
from handsynth.imaging.warp import mirror
from handsynth.store.findings import Finding, refusals
from tests.hands import make_samples

SAMPLES = [replace(sample, subject=None) for sample in make_samples(80)]
"""Each hand is another person's."""


def found(samples: list[HandSample], independent_2d: bool = True, **traits: object) -> dict[str, Finding]:
    table = samples if isinstance(samples, pa.Table) else to_table(samples)
    evidence = Evidence(
        table=table,
        scores=score(table),
        groups=read_groups(table),
        checks=checks_of(None),
        independent_2d=independent_2d,
        **traits,
    )
    return {finding.check: finding for finding in check_numbers(evidence)}


def statuses(samples: list[HandSample], independent_2d: bool = True, **traits: object) -> dict[str, str]:
    return {check: finding.status for check, finding in found(samples, independent_2d, **traits).items()}


def all_of(**change: object) -> list[HandSample]:
    return [replace(sample, **change) for sample in SAMPLES]


def moved(function: Callable[[np.ndarray], np.ndarray]) -> list[HandSample]:
    return [replace(sample, joints_mm=np.float32(function(sample.joints_mm))) for sample in SAMPLES]


def film(count: int = 60, speed_mm: float = 4.0) -> list[HandSample]:
    """One rigid hand of one person that moves steadily."""
    [hand] = make_samples(1)
    assert hand.joints_mm is not None
    return [
        replace(
            hand,
            key=f"f{i}",
            joints_mm=(hand.joints_mm + np.float32([speed_mm * i - 100, 0, 0])).astype(np.float32),
            sequence="walk",
            subject="p",
            frame=f"img_{i:05d}",
            moment=str(i),
        )
        for i in range(count)
    ]


def test_honest_samples_pass() -> None:
    assert set(statuses(SAMPLES).values()) <= {"ok", "not checkable"}
    assert set(statuses([mirror(sample) for sample in SAMPLES]).values()) <= {"ok", "not checkable"}
    assert statuses(SAMPLES, independent_2d=False)["reprojection"] == "not checkable"
    checkable = {check for check, status in statuses(SAMPLES).items() if status == "ok"}
    assert {"keys", "finite numbers", "reprojection", "chirality against side", "palm length"} <= checkable


def test_wrong_labels_are_faults() -> None:
    assert statuses(all_of(side="left"))["chirality against side"] == "fault"
    for factor, unit in ((0.1, "centimetres"), (0.001, "metres")):
        text = refusals(found(moved(lambda joints, f=factor: joints * f), independent_2d=False).values())
        assert f"are the joints in {unit}?" in text
    behind = statuses(moved(lambda joints: joints * [1, 1, -1]), independent_2d=False)
    assert behind["chirality against side"] == behind["joints before the camera"] == "fault"
    shifted = [replace(s, keypoints_px=s.keypoints_px + np.float32(3)) for s in SAMPLES]
    assert statuses(shifted)["reprojection"] == "fault"
    assert statuses(shifted, independent_2d=False)["reprojection"] == "not checkable"
    outside = [replace(s, keypoints_px=s.keypoints_px + np.float32(500)) for s in SAMPLES]
    assert statuses(outside, independent_2d=False)["joints inside the image"] == "fault"
    holes = moved(lambda joints: np.where(np.arange(21)[:, None] == 3, np.nan, joints))
    assert statuses(holes)["finite numbers"] == "fault"
    assert statuses([SAMPLES[0], SAMPLES[0]])["keys"] == "fault"


def test_few_bad_samples_are_named_not_refused() -> None:
    keypoints = SAMPLES[7].keypoints_px
    assert keypoints is not None
    samples = [*SAMPLES[:7], replace(SAMPLES[7], keypoints_px=keypoints + np.float32(9)), *SAMPLES[8:]]
    findings = found(samples)
    assert findings["reprojection"].status == "warning"
    assert findings["reprojection"].worst == ("s0007",)
    assert refusals(findings.values()) == ""


def test_what_a_source_lacks_is_not_checkable() -> None:
    bare = [HandSample(key=str(number)) for number in range(30)]
    found_of_bare = statuses(bare)
    assert {found_of_bare[name] for name in found_of_bare if name not in ("keys", "finite numbers")} == {
        "not checkable"
    }
    assert set(statuses(to_table(bare).slice(0, 0)).values()) <= {"ok", "not checkable"}


def test_absent_joints_are_no_fault() -> None:
    """ICVL has neither wrist nor DIP; the side and the size of the hand can be told all the same."""
    lacking = [0, *(INDEX[f"{finger}_dip"] for finger in ("index", "middle", "ring", "pinky"))]

    def without(sample: HandSample) -> HandSample:
        joints, state = sample.joints_mm.copy(), sample.joint_state.copy()
        keypoints, drawn = sample.keypoints_px.copy(), sample.keypoint_state.copy()
        joints[lacking], keypoints[lacking], state[lacking], drawn[lacking] = np.nan, np.nan, ABSENT, ABSENT
        return replace(sample, joints_mm=joints, joint_state=state, keypoints_px=keypoints, keypoint_state=drawn)

    findings = found([without(sample) for sample in SAMPLES])
    assert refusals(findings.values()) == ""
    assert findings["chirality against side"].status == findings["palm length"].status == "ok"
    turned = found([replace(without(sample), side="left") for sample in SAMPLES])
    assert turned["chirality against side"].status == "fault"
    short = [replace(s, joints_mm=np.float32(s.joints_mm / 1000)) for s in map(without, SAMPLES)]
    assert "metres" in refusals(found(short, independent_2d=False).values())


def test_derived_joints_are_no_labels() -> None:
    def spoilt(sample: HandSample, state: int) -> HandSample:
        keypoints, states = sample.keypoints_px.copy(), sample.keypoint_state.copy()
        keypoints += 40
        states[:] = state
        return replace(sample, keypoints_px=keypoints, keypoint_state=states)

    findings = found([spoilt(sample, DERIVED) for sample in SAMPLES])
    assert findings["reprojection"].status == "not checkable"


def test_the_manifest_knows_the_sides() -> None:
    """A side that nobody declared is the manifest's; one that it does not know is told."""
    assert statuses(all_of(side="unknown"))["chirality against side"] == "not checkable"
    assert statuses(all_of(side="unknown"), sides=("right",))["chirality against side"] == "ok"
    assert statuses(all_of(side="unknown"), sides=("left",))["chirality against side"] == "fault"
    other = found(SAMPLES, sides=("left",))["chirality against side"]
    assert other.status == "warning"
    assert "80 hands are of a side that the manifest does not know" in other.text


def test_marked_frames_are_left_out() -> None:
    """What a format marks as known to be bad is no news."""
    samples = film()
    spoilt = [
        replace(sample, joints_mm=sample.joints_mm + np.float32([0, 500, 0]), extra={"known_bad": np.float32([1])})
        if i % 10 == 5
        else sample
        for i, sample in enumerate(samples)
    ]
    assert found(samples, independent_2d=False)["label jumps"].status == "ok"
    assert found(spoilt, independent_2d=False)["label jumps"].status == "ok"
    unmarked = [replace(sample, extra={}) for sample in spoilt]
    assert found(unmarked, independent_2d=False)["label jumps"].count == 12


def test_label_jumps_are_named() -> None:
    samples = film()
    samples[30] = replace(samples[30], joints_mm=samples[30].joints_mm + np.float32([0, 300, 0]))
    finding = found(samples[::-1], independent_2d=False)["label jumps"]  # rows in any order
    assert finding.status == "warning"
    assert finding.worst == ("f30", "f31")
    assert "in 1 frames labels jump away and back" in finding.text
    cut = [*samples[:29], *film()[40:]]
    cut = [replace(sample, frame=str(i)) for i, sample in enumerate(cut)]
    assert found(cut, independent_2d=False)["label jumps"].status == "ok"
    apart = [replace(sample, frame=str(100 * i)) for i, sample in enumerate(samples)]
    assert found(apart, independent_2d=False)["label jumps"].status == "not checkable"
    assert "no film" in found(film(speed_mm=90), independent_2d=False)["label jumps"].text


def test_bones_that_change_are_named() -> None:
    rng = np.random.default_rng(0)
    samples = film()

    def stretched(sample: HandSample) -> HandSample:
        joints = sample.joints_mm.copy()
        tip, dip = INDEX["ring_tip"], INDEX["ring_dip"]
        joints[tip] = joints[dip] + (joints[tip] - joints[dip]) * np.float32(1 + 0.3 * rng.standard_normal())
        return replace(sample, joints_mm=joints)

    assert "varies most, by 0.0 %" in found(samples, independent_2d=False)["bone lengths per subject"].text
    finding = found([stretched(sample) for sample in samples], independent_2d=False)["bone lengths per subject"]
    assert finding.status == "warning"
    assert "ring_dip-ring_tip of subject p varies most" in finding.text
    nobody = found([replace(sample, subject=None) for sample in samples], independent_2d=False)
    assert nobody["bone lengths per subject"].status == "not checkable"


def test_slices_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.concat_tables([to_table(SAMPLES[:33]), to_table(SAMPLES[33:])])
    whole = score(table)
    monkeypatch.setattr(scores_module, "_SLICE", 7)
    parts = score(table)
    for name in whole.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name), err_msg=name)


def test_projection_by_rows_is_the_cameras_own() -> None:
    cameras = [Camera(100 + i % 3, 90, 30, 31, 64, 64, (0.1, 0.01, 0.001, 0, 0) if i % 2 else ()) for i in range(12)]
    samples = [replace(sample, camera=camera) for sample, camera in zip(SAMPLES, cameras, strict=False)]
    samples[4] = replace(samples[4], camera=None)
    table = to_table(samples)
    pixels = project(column(table, "joints_mm").astype(np.float64), column(table, "camera"))
    for sample, here in zip(samples, pixels, strict=True):
        expected = sample.projected()
        assert np.isnan(here).all() if expected is None else np.allclose(here, expected, atol=1e-3)


def test_thresholds_are_the_manifests() -> None:
    manifest = manifest_of("stb")
    assert manifest is not None
    assert checks_of(manifest).palm_mm == (50.0, 140.0)
    assert manifest_of("no such dataset") is None
    assert checks_of(None).palm_mm == (50.0, 130.0)
