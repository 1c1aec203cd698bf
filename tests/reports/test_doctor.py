"""The doctor's page: well-formed, self-contained, faults first, pictures of the worst, whatever a sample lacks."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from handsynth.doctor.examine import Histogram
from handsynth.hand.sample import HandSample
from handsynth.reports.doctor import render_doctor
from handsynth.store.findings import Finding
from tests.hands import make_samples

HTML = "{http://www.w3.org/1999/xhtml}"
CHECKS = (
    "reprojection",
    "joints against surface depth",
    "joints on the mask",
    "colour against depth",
    "frame numbers",
    "joint order",
    "duplicate images",
)


def findings() -> list[Finding]:
    return [
        Finding(check="keys", status="ok", text="fine"),
        Finding(check="file checksums", status="fault", count=1, worst=("pixels/rgb/c/0",), text="changed"),
        *(
            Finding(check=name, status="warning", count=2, worst=("s0001", "s0002"), text=f"{name} <&>")
            for name in CHECKS
        ),
    ]


def page(samples: dict[str, HandSample]) -> ET.Element:
    values = np.random.default_rng(0).normal(80, 5, 300).astype(np.float32)
    histograms = [
        Histogram("Palm length", "mm", values, 50.0, 130.0),
        Histogram("All the same", "%", np.zeros(40), None, 10.0),
        Histogram("Error", "px", np.abs(values), None, 2.0),
    ]
    html = render_doctor("hands: <not sound>", "about & so on", findings(), histograms, samples)
    assert "<script" not in html
    assert not re.search(r"(src|href)=\"(?!data:)", html)
    assert html == render_doctor("hands: <not sound>", "about & so on", findings(), histograms, samples)
    doctype, rest = html.split("\n", 1)
    assert doctype == "<!DOCTYPE html>"
    return ET.fromstring(rest)


def test_the_page_shows_everything() -> None:
    samples = {sample.key: sample for sample in make_samples(5)}
    root = page(samples)
    rows = root.findall(f".//{HTML}tbody/{HTML}tr")
    assert [row[0].text for row in rows] == ["fault", *["warning"] * len(CHECKS), "ok"]
    assert len(root.findall(f".//{HTML}details")) == len(CHECKS) + 1
    assert len(root.findall(f".//{HTML}img")) == 2 * len(CHECKS) + 3  # and those that no finding names
    assert len(root.findall(f".//{HTML}svg")) == 3
    assert "pixels/rgb/c/0" in ET.tostring(root, encoding="unicode")


@pytest.mark.parametrize(
    "lacking",
    [
        ("rgb",),
        ("depth_mm", "mask"),
        ("rgb", "depth_mm"),
        ("rgb", "depth_mm", "mask"),
        ("joints_mm",),
        ("keypoints_px",),
        ("camera",),
        ("joints_mm", "keypoints_px", "camera"),
    ],
)
def test_whatever_a_sample_lacks(lacking: tuple[str, ...]) -> None:
    samples = [replace(sample, **dict.fromkeys(lacking)) for sample in make_samples(3)]
    page({sample.key: sample for sample in samples})


def test_labels_far_outside_or_unknown_are_drawn() -> None:
    [one, two, three] = make_samples(3)
    assert two.joints_mm is not None
    assert two.keypoints_px is not None
    wild = replace(two, joints_mm=two.joints_mm * np.float32(1e9), keypoints_px=two.keypoints_px * np.float32(1e9))
    behind = replace(three, joints_mm=-three.joints_mm, keypoints_px=np.full((21, 2), np.nan, np.float32))
    page({sample.key: sample for sample in (one, wild, behind)})
