"""The stage and the command: where the page goes, what is printed, which exit code."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from handsynth.cli import app
from handsynth.errors import UsageError
from handsynth.stages.verify import verify
from handsynth.store.read import open_store
from tests.formats.samples import simulated
from tests.stores import make_store

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("verify")
    hands = simulated("crop", 24)
    make_store(root / "stores" / "sound", hands, size=64)
    far = np.float32([0, 0, 500])
    make_store(root / "stores" / "off", [replace(hand, joints_mm=hand.joints_mm + far) for hand in hands], size=64)
    return root


def test_a_sound_store(space: Path) -> None:
    report = verify("sound", workspace=space)
    assert report.ok
    assert report.path == str(space / "runs" / "sound-doctor.html")
    html = Path(report.path).read_text()
    assert "sound: sound" in html
    assert html.count("<img") == 12
    assert len(html) < 400_000
    assert report.store_hash == open_store(str(space / "stores" / "sound")).hash


def test_faults_exit_with_one_and_are_pictured(space: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    result = RUNNER.invoke(app, ["verify", "off", "--out", str(out), "--workspace", str(space)])
    assert result.exit_code == 1
    assert "fault         joints against surface depth" in result.stdout
    assert result.stdout.splitlines()[-1] == str(out)
    assert "joints against surface depth" in out.read_text()
    assert "data:image/jpeg;base64," in out.read_text()


def test_json_and_no_page(space: Path) -> None:
    result = RUNNER.invoke(app, ["verify", "off", "--json", "--no-page", "--workspace", str(space)])
    report = json.loads(result.stdout)
    assert result.exit_code == 1
    assert not report["ok"]
    assert report["path"] is None
    assert {"check", "status", "count", "worst", "text", "why"} == set(report["findings"][0])
    assert not (space / "runs" / "off-doctor.html").exists()


def test_damaged_files_are_not_examined(space: Path, tmp_path: Path) -> None:
    make_store(tmp_path / "stores" / "torn", simulated("crop", 24), size=64)
    part = tmp_path / "stores" / "torn" / "samples" / "00000.parquet"
    part.write_bytes(part.read_bytes()[:-40])
    report = verify("torn", workspace=tmp_path)
    assert not report.ok
    assert len(report.findings) == 5
    assert Path(report.path or "").is_file()


def test_wrong_endings_are_refused(space: Path) -> None:
    with pytest.raises(UsageError, match=r"ends in \.html"):
        verify("sound", out="page.pdf", workspace=space)


def test_without_a_page_the_findings_are_printed(space: Path) -> None:
    result = RUNNER.invoke(app, ["verify", "sound", "--no-page", "--workspace", str(space)])
    assert result.exit_code == 0, result.output
    assert "ok: True" in result.stdout
    assert "None" not in result.stdout.splitlines()[-1]
