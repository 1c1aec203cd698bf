"""Wrong input through the command line: one sentence, a non-zero exit, no traceback, nothing half made."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from typer.testing import CliRunner

from handsynth import cli
from handsynth.formats import get_format
from tests.hands import make_samples
from tests.stores import make_store


def write(name: str, folder: Path, count: int = 6) -> Path:
    """Raw files of a format."""
    writer: Any = get_format(name)
    samples = [replace(sample, moment=sample.key) for sample in make_samples(count, height=240, width=320)]
    folder.mkdir()
    writer.write(folder, samples, writer.options_type())
    return folder


def refused(arguments: list[str], code: int = 1) -> str:
    """Run a command that must fail; returns its one sentence."""
    result = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    lines = [line for line in result.stderr.splitlines() if line.startswith("handsynth: ")]
    assert result.exit_code == code, result.stderr
    assert "Traceback" not in result.stderr
    assert len(lines) == 1
    return lines[0]


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("executed",))


def damage_mat(raw: Path) -> None:
    scipy.io.savemat(raw / "pose_gt.mat", {"pose_gt": np.zeros((6, 20, 3), dtype=np.float32)})


def damage_count(raw: Path) -> None:
    path = sorted(raw.rglob("joint.txt"))[0]
    lines = path.read_text().splitlines()
    path.write_text("\n".join([str(len(lines) + 3), *lines[1:]]) + "\n")


def plant_code(raw: Path) -> None:
    path = next(raw.rglob("anno_*.pickle"))
    path.write_bytes(pickle.dumps(Evil()))


def escape(raw: Path) -> None:
    params = scipy.io.loadmat(raw / "params.mat")
    names = params["image_path"]
    names[0] = "../../etc/passwd".ljust(len(str(names[0])))[: len(str(names[0]))]
    scipy.io.savemat(raw / "params.mat", {k: v for k, v in params.items() if not k.startswith("_")})


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("ge_realworld", damage_mat, ["N x 21 x 3", "6 x 20 x 3", "pose_gt.mat"]),
        ("ge_realworld", escape, ["below the dataset", "../../etc/passwd"]),
        ("msra15", damage_count, ["joint.txt", "count line", "rows"]),
        ("rhd", plant_code, ["pickle", "mkdir"]),
    ],
)
def test_damaged_annotations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, damage: Callable[[Path], None], words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    raw = write(name, tmp_path / "raw")
    damage(raw)
    sentence = refused(["ingest", name, str(raw)])
    for word in words:
        assert word in sentence
    assert not Path("executed").exists()
    assert not (tmp_path / "stores" / name).exists()


def test_a_truncated_image_is_rejected_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    raw = write("rhd", tmp_path / "raw")
    image = sorted(raw.rglob("color/*.png"))[2]
    image.write_bytes(image.read_bytes()[:-40])
    result = CliRunner().invoke(cli.app, ["ingest", "rhd", str(raw), "--workers", "1"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "1 rejected" in result.stderr
    assert "truncated" in result.stderr
    info = json.loads(CliRunner().invoke(cli.app, ["info", "--json"]).stdout)
    assert (info["samples"], info["rejected"]) == (5, 1)
    for image in raw.rglob("color/*.png"):
        image.write_bytes(b"")
    assert "an empty file" in refused(["ingest", "rhd", str(raw), "--store", "other", "--workers", "1"])
    assert not (tmp_path / "stores" / "other").exists()


@pytest.mark.parametrize("alpha", ["0", "1.5", "-1"])
@pytest.mark.parametrize("command", [["augment"], ["train", "hpm3d"], ["reduce"]])
def test_shares_out_of_range(tmp_path: Path, command: list[str], alpha: str) -> None:
    make_store(tmp_path / "stores" / "s", count=4, size=16)
    assert "share" in refused([*command, "--alpha", alpha, "--workspace", str(tmp_path)], code=2)
    assert not (tmp_path / "runs").exists()


def test_a_store_of_a_newer_version(tmp_path: Path) -> None:
    store = make_store(tmp_path / "stores" / "s", count=4, size=16)
    path = Path(store.address) / "store.json"
    about = json.loads(path.read_text())
    path.write_text(json.dumps(about | {"format_version": 99}))
    sentence = refused(["info", "s", "--workspace", str(tmp_path)])
    assert "99" in sentence
    assert "version" in sentence


def test_an_unfinished_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "stores" / "half" / "ledger").mkdir(parents=True)
    for name in ([], ["half"]):
        sentence = refused(["info", *name, "--workspace", str(tmp_path)])
        assert "unfinished" in sentence
        assert "half" in sentence
        assert "resume" in sentence


def test_a_full_disk_stops_cleanly_and_resumes(tmp_path: Path) -> None:
    """A limit on file sizes stands in for a full disk: the same error, at the same place."""
    raw = write("rhd", tmp_path / "raw")
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "from handsynth.cli import main\nmain()"
    )
    arguments = ["ingest", "rhd", str(raw), "--size", "64", "--workers", "1", "--workspace", str(tmp_path)]
    env = {**os.environ, "HANDSYNTH_CACHE": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=env)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "expected room to write" in done.stderr
    assert not list(tmp_path.rglob("*.part"))
    assert not (tmp_path / "stores" / "rhd" / "store.json").exists()
    result = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
