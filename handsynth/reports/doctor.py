"""The doctor's page: one static HTML file with every finding, pictures of the worst samples and histograms.

No scripts and no outside addresses: pictures stand in it as JPEG data URIs, drawings as SVG, each picture once.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from handsynth.doctor.examine import Histogram
from handsynth.hand.joints import BONES
from handsynth.hand.sample import HandSample
from handsynth.imaging.codecs import encode_jpeg
from handsynth.imaging.draw import depth_image, mask_image, skeleton
from handsynth.store.findings import Finding

_SIDE = 172
_DARK = 24
_QUALITY = 80
_BINS = 32
_WIDTH, _HEIGHT = 560, 150
_NEAR_MM = 80.0
_ORDER = ("fault", "warning", "ok", "not checkable")
_LABELLED_AND_PROJECTED = (230, 60, 60), (60, 200, 240)
_ON_DEPTH = ("joints against surface depth", "frame numbers")
_ON_MASK = ("joints on the mask",)
_ON_BOTH = ("colour against depth",)


@dataclass(frozen=True)
class _Picture:
    """Where a picture stands and what is below it."""

    address: str
    width: int
    caption: str


def render_doctor(
    title: str,
    about: str,
    findings: Sequence[Finding],
    histograms: Sequence[Histogram],
    samples: Mapping[str, HandSample],
) -> str:
    """The whole page.

    Args:
        title, about: plain text.
        findings: in reading order; the page puts faults first.
        histograms: drawn below the findings.
        samples: with pixels, by key: the worst ones that findings name, and others, shown at the end.

    Returns:
        HTML that is also well-formed XML.
    """
    ordered = sorted(findings, key=lambda finding: _ORDER.index(finding.status))
    named = {key for finding in findings for key in finding.worst}
    shown = [
        {
            "finding": finding,
            "pictures": [_picture(samples[key], finding.check) for key in finding.worst if key in samples],
            "paths": [key for key in finding.worst if key not in samples],
            "legend": _legend(finding.check),
        }
        for finding in ordered
    ]
    return _template().render(
        title=title,
        about=about,
        counts=[(status, sum(finding.status == status for finding in findings)) for status in _ORDER],
        shown=shown,
        drawings=[(each.title, _drawing(each), _in_words(each)) for each in histograms],
        others=[_picture(sample, "") for key, sample in samples.items() if key not in named][:12],
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("doctor.html")


def _legend(check: str) -> str:
    if check in _ON_DEPTH:
        return "Left: depth with the skeleton. Right: the same from the side, surface grey, camera to the left."
    if check in _ON_MASK:
        return "The skeleton over the mask."
    if check in _ON_BOTH:
        return "White: outline of near depth, over colour."
    if check == "reprojection":
        return "Red: as labelled in 2-D. Blue: the 3-D joints, projected."
    return ""


def _picture(sample: HandSample, check: str) -> _Picture:
    points = sample.projected() if check in _ON_DEPTH else sample.keypoints_px
    points = points if points is not None else sample.keypoints_px
    points = points if points is not None else sample.projected()
    points = np.full((21, 2), np.nan) if points is None else points
    ground = _ground(sample)
    if check in _ON_DEPTH and sample.depth_mm is not None:
        panels = [_over(depth_image(sample.depth_mm), points), _side_view(sample)]
    elif check in _ON_MASK and sample.mask is not None:
        panels = [_over(mask_image(sample.mask), points)]
    elif check in _ON_BOTH and sample.depth_mm is not None:
        panels = [_outlined(ground, sample.depth_mm, sample.joints_mm)]
    elif check == "reprojection" and sample.keypoints_px is not None:
        projected = sample.projected()
        panels = [_both(ground, sample.keypoints_px, points if projected is None else projected)]
    else:
        panels = [_over(ground, points)]
    image = np.concatenate(panels, axis=1)
    address = "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(image, _QUALITY)).decode()
    said = " · ".join(word for word in (sample.key, sample.side, sample.split) if word)
    return _Picture(address, image.shape[1], said)


def _ground(sample: HandSample) -> np.ndarray:
    if sample.rgb is not None:
        return sample.rgb
    if sample.depth_mm is not None:
        return depth_image(sample.depth_mm)
    if sample.mask is not None:
        return mask_image(sample.mask)
    return np.full((_SIDE, _SIDE, 3), _DARK, np.uint8)


def _fit(image: np.ndarray) -> tuple[np.ndarray, float]:
    """A square picture of the page's size, the image flush to its top left, and the image's scale."""
    scale = _SIDE / max(image.shape[:2])
    shape = max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1)
    out = np.full((_SIDE, _SIDE, 3), _DARK, np.uint8)
    resized = cv2.resize(image, shape, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    out[: shape[1], : shape[0]] = resized
    return out, scale


def _over(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    fitted, scale = _fit(image)
    return skeleton(fitted, (points + 0.5) * scale - 0.5, 1.6)


def _both(image: np.ndarray, labelled: np.ndarray, projected: np.ndarray) -> np.ndarray:
    """Two skeletons in two colours."""
    out, scale = _fit(image)
    for points, color in zip((labelled, projected), _LABELLED_AND_PROJECTED, strict=True):
        places = (points + 0.5) * scale - 0.5
        _bones(out, places, color)
    return out


def _bones(image: np.ndarray, places: np.ndarray, color: tuple[int, int, int]) -> None:
    drawable = np.isfinite(places).all(-1) & (np.abs(np.nan_to_num(places)) < 1e4).all(-1)
    for parent, child in BONES:
        if drawable[parent] and drawable[child]:
            ends = [tuple(np.round(16 * places[joint]).astype(int).tolist()) for joint in (parent, child)]
            cv2.line(image, ends[0], ends[1], color, 1, cv2.LINE_AA, 4)


def _outlined(image: np.ndarray, depth_mm: np.ndarray, joints_mm: np.ndarray | None) -> np.ndarray:
    """The outline of what lies as far away as the joints, over colour."""
    fitted, _ = _fit(image)
    if joints_mm is None or not np.isfinite(joints_mm).any():
        return fitted
    near = np.abs(depth_mm - np.nanmedian(joints_mm[:, 2])) < _NEAR_MM
    shape = fitted.shape[:2]
    scale = _SIDE / max(depth_mm.shape)
    small = cv2.resize(near.astype(np.uint8), None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    mask = np.zeros(shape, np.uint8)
    mask[: small.shape[0], : small.shape[1]] = small[: shape[0], : shape[1]]
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(fitted, contours, -1, (255, 255, 255), 1))


def _side_view(sample: HandSample) -> np.ndarray:
    """z to the right, y down: joints in colour, the measured surface near them grey."""
    out = np.full((_SIDE, _SIDE, 3), _DARK, np.uint8)
    joints, camera, depth = sample.joints_mm, sample.camera, sample.depth_mm
    if joints is None or camera is None or depth is None or not np.isfinite(joints).any():
        return out
    low, high = np.nanmin(joints, axis=0), np.nanmax(joints, axis=0)
    middle, extent = (low + high) / 2, 1.5 * max(float((high - low)[1:].max()), 1e-6)

    def place(points_mm: np.ndarray) -> np.ndarray:
        return (points_mm[..., [2, 1]] - middle[[2, 1]]) / extent * _SIDE + _SIDE / 2

    v, u = np.nonzero(np.isfinite(depth))
    step = max(len(u) // 6000, 1)
    v, u = v[::step], u[::step]
    places = place(camera.lift(np.stack([u, v], axis=-1), depth[v, u])).round()
    places = places[((places >= 0) & (places < _SIDE)).all(-1)].astype(int)
    out[places[:, 1], places[:, 0]] = 150
    return skeleton(out, place(joints), 1.6)


def _drawing(histogram: Histogram) -> Markup:
    """An SVG bar chart in the page's own colour; the range that is expected is shaded."""
    values = histogram.values.astype(np.float64)
    bounds = [bound for bound in (histogram.low, histogram.high) if bound is not None]
    low, high = min(np.percentile(values, 0.5), *bounds), max(np.percentile(values, 99.5), *bounds)
    low = 0.0 if histogram.low is None else low
    room = 0.04 * (high - low) or 1.0
    low, high = (low if histogram.low is None else low - room), high + room
    counts, edges = np.histogram(np.clip(values, low, high), _BINS, (low, high))
    plot = _HEIGHT - 22

    def x(value: float) -> float:
        return float((value - low) / (high - low) * _WIDTH)

    left, right = x(low if histogram.low is None else histogram.low), x(histogram.high or high)
    parts = [f'<rect class="band" x="{left:.1f}" y="0" width="{right - left:.1f}" height="{plot}"/>']
    for count, start, stop in zip(counts.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if count:
            tall = max(count / counts.max() * (plot - 4), 1.5)
            parts.append(
                f'<rect class="bar" x="{x(start) + 0.5:.1f}" y="{plot - tall:.1f}" '
                f'width="{x(stop) - x(start) - 1:.1f}" height="{tall:.1f}"/>'
            )
    for value in np.linspace(low, high, 5).tolist():
        anchor = "start" if value == low else "end" if value == high else "middle"
        parts.append(f'<text x="{x(value):.1f}" y="{_HEIGHT - 5}" text-anchor="{anchor}">{value:.3g}</text>')
    body = "".join(parts)
    return Markup(f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{body}</svg>')  # numbers only: nothing to escape


def _in_words(histogram: Histogram) -> str:
    low, middle, high = np.percentile(histogram.values, [5, 50, 95])
    unit = histogram.unit
    bounds = [f"from {histogram.low:g}" if histogram.low is not None else ""]
    bounds.append(f"up to {histogram.high:g} {unit}" if histogram.high is not None else "")
    expected = " ".join(filter(None, bounds))
    text = f"n = {len(histogram.values)}, median {middle:.3g} {unit}, 5 to 95 %: {low:.3g} to {high:.3g} {unit}"
    return f"{text}. Shaded: expected, {expected}." if expected else f"{text}."
