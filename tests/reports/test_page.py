from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET

import cv2
import numpy as np
import pytest

from handsynth.imaging.codecs import encode_png
from handsynth.reports.page import Figure, Section, render
from handsynth.reports.plots import distance_histogram
from handsynth.reports.tables import results_table
from tests.reports.records import PROTOCOL, experiment, run

HTML = "{http://www.w3.org/1999/xhtml}"


def page(title: str = "Report") -> str:
    frame = results_table(experiment())
    image = np.arange(30 * 50 * 3, dtype=np.uint8).reshape(30, 50, 3)
    figures = [
        Figure(image, "an array"),
        Figure(encode_png(image), "bytes"),
        Figure(distance_histogram(np.linspace(0, 0.1, 9), np.linspace(0, 0.3, 9)), 'a "drawing" <b>'),
    ]
    sections = [
        Section.of_results("Pose", frame, "First.\n\nSecond.", figures, ["One more note."]),
        Section("Bare", table="<table>not markup</table>"),
    ]
    infos = [info for info, _ in experiment()]
    return render(title, "Sub & title", sections, [(info.name, info.settings) for info in infos], infos)


def tree(html: str) -> ET.Element:
    doctype, rest = html.split("\n", 1)
    assert doctype == "<!DOCTYPE html>"
    return ET.fromstring(rest)


def texts(root: ET.Element, tag: str) -> list[str]:
    return ["".join(node.itertext()) for node in root.iter(f"{HTML}{tag}")]


def test_two_renders_are_equal():
    assert page() == page()


def test_the_page_needs_nothing_beside_itself():
    html = page()
    outside = set(re.findall(r"https?://[^\"' <)]+", html))
    assert outside <= {
        "http://www.w3.org/1999/xhtml",
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    root = tree(html)
    assert not list(root.iter(f"{HTML}script"))
    assert not list(root.iter(f"{HTML}link"))
    assert all(not name.startswith("on") for node in root.iter() for name in node.attrib)


def test_figures_are_there_and_decode():
    root = tree(page())
    images = list(root.iter(f"{HTML}img"))
    assert len(images) == 2
    for image in images:
        kind, data = image.attrib["src"].split(",", 1)
        assert kind == "data:image/png;base64"
        pixels = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert pixels.shape == (30, 50, 3)
        assert image.attrib["width"] == "25"
    (drawing,) = root.iter("{http://www.w3.org/2000/svg}svg")
    assert drawing.attrib["aria-label"] == 'a "drawing" <b>'
    assert texts(root, "figcaption") == ["an array", "bytes", 'a "drawing" <b>']


def test_notes_protocol_and_paragraphs_are_on_the_page():
    root = tree(page())
    notes = texts(root, "li")
    assert any("does not beat the mean pose" in note for note in notes)
    assert notes[-1] == "One more note."
    assert {"First.", "Second."} <= set(texts(root, "p"))
    assert any(line.endswith(PROTOCOL) for line in texts(root, "p"))


def test_settings_are_folded_and_flat_and_the_foot_says_where_numbers_come_from():
    root = tree(page())
    assert len(list(root.iter(f"{HTML}details"))) == 7
    details = next(root.iter(f"{HTML}details"))
    assert list(zip(texts(details, "th"), texts(details, "td"), strict=True)) == [
        ("size", "64"),
        ("seed", "0"),
        ("losses.depth", "0.5"),
    ]
    foot = texts(next(root.iter(f"{HTML}footer")), "tr")
    assert len(foot) == 8
    for word in ("ge_realworld ab12cd34, 80 samples", "0.4, set feedbeef", "123,456", "0.1.0", "120 samples"):
        assert word in foot[4]


def test_names_cannot_break_out():
    hostile = "<script>alert('1')</script>\"&"
    info = run(name=hostile, system=hostile)
    section = Section(hostile, hostile, hostile, [], [hostile])
    html = render(hostile, hostile, [section], [(hostile, {hostile: hostile})], [info])
    assert "<script" not in html
    assert hostile in texts(tree(html), "h1")
    assert "<table>not markup" not in page()


@pytest.mark.parametrize("picture", ["a path.svg", b"\xff\xd8 a JPEG"])
def test_a_picture_of_another_kind_is_our_own_mistake(picture):
    with pytest.raises(ValueError, match="must be"):
        _ = Figure(picture, "").markup


def test_an_empty_page_is_a_page():
    assert texts(tree(render("Nothing", "", [], [])), "h1") == ["Nothing"]
