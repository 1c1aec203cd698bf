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
from handsynth.errors import MissingError
from handsynth.formats import get_format
from handsynth.runtime import cluster
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


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("augment --seed -1", 2, "a seed of 0 or more"),
        ("train hpm3d --seed -1", 2, "a seed of 0 or more"),
        ("train hpm3d --weights-seed -1", 2, "a seed of 0 or more"),
        ("reduce --seed -1", 2, "a seed of 0 or more"),
        ("ablate --seed -1", 2, "a seed of 0 or more"),
        ("augment --generator pose_to_depth", 2, "one of cyclegan, mmhand, patn, pg2, pix2pix, posegan, simulator, f"),
        ("reduce --generator pose_to_depth", 2, "names among none, cyclegan, mmhand, patn, pg2, pix2pix, posegan, s"),
        ("augment --generator simulator --compile on", 2, "that is trained beside --compile, found the simulator"),
        ("augment --generator simulator --precision bf16", 2, "that is trained beside --precision, found the simul"),
        ("ablate --set mmhand.curriculum=false", 2, "found curriculum=false in --set mmhand"),
        ("evaluate nothere.parquet", 1, "found no file in nothere.parquet"),
        ("evaluate --inception file", 2, "expected --inception-sha256 beside --inception, found none"),
    ],
)
def test_wrong_use_is_told_before_anything_is_made(tmp_path: Path, command: str, code: int, words: str) -> None:
    make_store(tmp_path / "stores" / "s", count=16, size=16)
    assert words in refused([*command.split(), "--workspace", str(tmp_path)], code)
    assert {path.name for path in tmp_path.iterdir()} == {"stores"}
    assert [path.name for path in (tmp_path / "stores").iterdir()] == ["s"]


def test_a_value_of_another_type_is_told_without_advice_that_leads_nowhere(tmp_path: Path) -> None:
    make_store(tmp_path / "stores" / "s", count=16, size=16)
    told = refused(["augment", "--set", "size=abc", "--workspace", str(tmp_path)], code=2)
    assert told.endswith("`$.size` in --set size=abc")


@pytest.mark.parametrize(("held", "words"), [(b"", "EOFError"), (b"hello", "torch cannot read")])
def test_files_that_hold_no_weights(tmp_path: Path, held: bytes, words: str) -> None:
    path = tmp_path / "latest_net_netG.pth"
    path.write_bytes(held)
    told = refused(["convert-weights", "mmhand", str(path), "--workspace", str(tmp_path / "w")])
    assert "expected a state dict of tensors" in told
    assert words in told
    assert not (tmp_path / "w").exists()


def test_a_pipeline_without_parameters_has_none(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text('[[stage]]\nstage = "augment"\nalpha = "{beta}"\n')
    assert "expected parameters among none, found 'beta'" in refused(["run", str(path)], code=2)


def test_a_scheduler_that_does_not_answer_is_told_before_a_generator_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unheard(scheduler: str) -> None:
        raise MissingError(f"expected a Dask scheduler, found no answer in {scheduler}")

    monkeypatch.setattr(cluster, "_connected", unheard)
    make_store(tmp_path / "stores" / "s", count=16, size=16)
    told = refused(["augment", "--steps", "1", "--scheduler", "tcp://nowhere:1", "--workspace", str(tmp_path)])
    assert "a Dask scheduler" in told
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
