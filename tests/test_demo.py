"""The demo's own pipeline on a handful of images, through the command line: every stage meets the next."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from handsynth import cli

SMALL = ["images=24", "generator_steps=4", "steps=4"]


@pytest.mark.slow
def test_the_demo_in_small(tmp_path: Path) -> None:
    arguments = ["run", "demo", "--workspace", str(tmp_path), *(word for text in SMALL for word in ("--set", text))]
    result = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    report = Path(result.stdout.strip().splitlines()[-1])
    page = report.read_text()
    assert page.count("<svg") >= 3
    assert page.count("data:image/png") >= 3
    for run in sorted((tmp_path / "runs").glob("*-hpm3d*")):
        scores = json.loads((run / "evaluation" / "rhd.json").read_text())
        assert {row["name"] for row in scores["rows"]} >= {"hpm3d", "mean pose"}
    before = report.read_bytes()
    again = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert again.exit_code == 0
    assert "is trained already" in again.stderr
    assert report.read_bytes() == before
