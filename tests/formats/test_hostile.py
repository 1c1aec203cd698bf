"""Hostile input for every format at once: one sentence or a rejected sample; never a traceback, a hang, or a way out.

Each format's simulated miniature is written once and one file of it damaged at a time, by ``mutations`` (seeded) and
``bombs``. What was opened is watched with an audit hook, which stays installed for the rest of the process but looks
at nothing outside of :func:`watched`.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import resource
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from typer.testing import CliRunner

from handsynth import cli
from handsynth.errors import DataError, HandsynthError, MissingError, sentence
from handsynth.formats import get_format
from handsynth.formats.catalogue import open_catalogue
from handsynth.formats.columns import build_table
from handsynth.formats.exchange import unpacked
from handsynth.formats.format import FILE_COLUMNS, NoOptions
from handsynth.formats.pickles import is_small
from handsynth.formats.pictures import ENDINGS
from handsynth.hand.rows import from_row
from handsynth.hand.sample import ABSENT
from handsynth.runtime import files
from tests.formats import bombs, mutations
from tests.formats.cases import CASES, Case
from tests.formats.samples import simulated

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pipes, devices, /proc")

DRAWS = 16
"""Mutations of each kind of annotation file in one run; campaigns raise it."""
MOST_MB = 300
_ROOM = 1 << 30
_LONGEST = 2000

_watched: list[str] = []
_outside: list[str] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watched or event not in ("open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove"):
        return
    path = arguments[0]
    if isinstance(path, (str, bytes, os.PathLike)):
        place = os.path.abspath(os.fsdecode(path))
        above, root = _watched
        if place.startswith(above) and not place.startswith(root) and not root.startswith(place):
            _outside.append(f"{event} {place}")


sys.addaudithook(_audit)


@contextlib.contextmanager
def watched(root: Path) -> Iterator[None]:
    """Fail where something beside the root, in any folder above it within pytest's own, is opened or made."""
    _outside.clear()
    _watched[:] = [str(root.parents[2]), str(root)]
    try:
        yield
    finally:
        _watched.clear()
    assert not _outside


@dataclass(frozen=True)
class Raw:
    """A dataset on disk that can be opened."""

    case: Case
    root: Path

    @property
    def reader(self) -> Any:
        return get_format(self.case.format)

    @property
    def options(self) -> Any:
        return self.reader.options_type(**dict(self.case.options))

    def annotations(self) -> list[Path]:
        """One file of each kind, by its name without digits."""
        kinds: dict[str, Path] = {}
        for path in self.reader.annotations(self.root, self.options):
            if path.is_file() and path.suffix not in ENDINGS:  # pictures have tests of their own
                kinds.setdefault(re.sub(r"\d", "", path.name), path)
        return list(kinds.values())

    def rows(self) -> list[dict[str, Any]]:
        return open_catalogue(self.reader, self.root, self.options).table.to_pylist()


def written(case: Case, folder: Path) -> Raw:
    raw = Raw(case, folder / "a" / "b" / "raw")
    raw.reader.write(raw.root, (case.prepare(sample) for sample in simulated(case.camera)), raw.options)
    for meta in raw.root.glob("*-subject-*/*/meta.yml"):
        if not any(meta.parent.glob("*/labels_*")):
            shutil.rmtree(meta.parent)  # DexYCB's hundreds of sequences without frames only take time
    return raw


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case.format}-{case.camera}")
def raw(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Raw:
    return written(request.param, tmp_path_factory.mktemp(request.param.format))


@contextlib.contextmanager
def replaced(path: Path, by: bytes | Callable[[Path], None]) -> Iterator[None]:
    """Another file, or whatever ``by`` makes, in the place of one."""
    whole = path.read_bytes()
    path.unlink()
    try:
        if callable(by):
            by(path)
        else:
            path.write_bytes(by)
        yield
    finally:
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
        path.write_bytes(whole)


def one_sentence(error: HandsynthError, *names: str) -> str:
    """What an error says, checked: one printable line of a bearable length that tells the place."""
    text = str(error)
    assert re.match(r"expected .+, found .+ in .+", text), text
    assert text.isprintable()
    assert len(text) < _LONGEST
    assert any(name in text for name in names), text
    return text


def attempt(raw: Raw, path: Path) -> str:
    """Open and load; a sentence where that is refused, ``opened`` where all is well."""
    with watched(raw.root):
        try:
            rows = raw.rows()
        except HandsynthError as error:
            return one_sentence(error, str(raw.root), path.name)
        for row in rows:
            check_row(row)
        for row in [*rows[:1], *rows[1:][-1:]]:
            try:
                raw.reader.load(raw.root, row)
            except HandsynthError as error:
                one_sentence(error, str(raw.root), path.name, row["key"])
    return "opened"


def check_row(row: dict[str, Any]) -> None:
    """What comes in holds no number that is none, whatever the files said."""
    sample = from_row(row)
    for points, state in (
        (sample.joints_mm, sample.joint_state),
        (sample.keypoints_px, sample.keypoint_state),
    ):
        if points is None:
            assert (state == ABSENT).all()
        else:
            assert not np.isinf(points).any()
            np.testing.assert_array_equal(np.isfinite(points).all(-1)[state != ABSENT], True)
    for camera in (sample.camera, sample.depth_camera):
        if camera is not None:
            assert np.isfinite(camera.matrix).all()
            assert min(camera.fx, camera.fy, camera.width, camera.height) > 0
    for move in (sample.world_from_camera, sample.depth_from_color):
        assert move is None or np.isfinite(move.rotation).all()
    assert sample.side in ("left", "right", "unknown")


def test_damaged_annotations(raw: Raw) -> None:
    """Bytes, words, numbers, shapes and containers that no publisher writes."""
    outcomes = set()
    for path in raw.annotations():
        rng = random.Random(f"{raw.case.format} {path.name}")
        whole = path.read_bytes()
        cuts = [whole[: len(whole) * part // 8] for part in (0, 1, 4, 7)]
        drawn = mutations.anything(whole, path.suffix, rng)
        for damaged in [*cuts, whole[:-1], *(next(drawn) for _ in range(DRAWS))]:
            with replaced(path, damaged):
                outcomes.add(attempt(raw, path) == "opened")
    assert False in outcomes, "some of this must be refused"
    assert attempt(raw, path) == "opened"


def test_what_stands_in_the_place_of_a_file(raw: Raw) -> None:
    paths = raw.annotations()
    for path in paths:
        for make in mutations.places().values():
            with replaced(path, make):
                attempt(raw, path)
        for other in [*paths, Path(__file__)]:
            if other.suffix != path.suffix:
                with replaced(path, other.read_bytes()):
                    attempt(raw, path)
    assert attempt(raw, path) == "opened"


def test_names_in_annotations_lead_nowhere_else(raw: Raw) -> None:
    """Paths to a picture that is there and would decode, beside the dataset's folder."""
    row = raw.rows()[0]
    column = next(column for column in FILE_COLUMNS if row[column])
    picture = raw.root / row[column].partition("#")[0]
    outside = raw.root.parent / f"outside{picture.suffix}"
    shutil.copy(picture, outside)
    said = {row[column], picture.name, picture.stem, f"{picture.parent.name}/{picture.name}"}
    for path in raw.annotations():
        whole = path.read_bytes()
        for old in filter(None, said):
            for new in (f"../{outside.name}", str(outside), f"x/../../{outside.name}", f"../{outside.stem}"):
                if old.encode() in whole and path.suffix in (".json", ".txt", ".csv"):
                    with replaced(path, whole.replace(old.encode(), new.encode())):
                        attempt(raw, path)
                        with contextlib.suppress(HandsynthError):
                            assert not [row for row in raw.rows() if ".." in str([row[c] for c in FILE_COLUMNS])]


HOSTILE_WORDS = (
    *("", ".", "..", "../../x", "C:\\x", "a\0b", "x" * 120, "é漢字", "a/b", "a\\..\\b", " ", "a\nb", "con", "-1"),
    *("9" * 60, "0" * 30, "train/../..", "{0}%s", "*?[", 'a,b"c', "²", "٣", "Subject_1", "P0/1", "data_1", "1e5"),
    *("nan", "~", "$HOME", "a" * 64 + "/", "\u202e", "'", "x.png", "hand.json", "#1,2", "ABSOLUTE"),
)
_FIELDS = ("subject", "sequence", "frame", "view", "moment", "split")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.format}-{case.camera}")
def test_hostile_words_stay_inside_what_is_written(case: Case, tmp_path: Path) -> None:
    """Whatever subjects, sequences and keys are called, all is written below the folder, and reads back."""
    rng = random.Random(case.format)
    words = [str(tmp_path / "absolute") if word == "ABSOLUTE" else word for word in HOSTILE_WORDS]
    for turn in range(2):
        drawn = rng.sample(words, len(words))
        samples = []
        for i, sample in enumerate(simulated(case.camera)):
            told = {name: drawn[(i * len(_FIELDS) + k) % len(drawn)] for k, name in enumerate(_FIELDS)}
            told["moment"] += str(i)
            samples.append(replace(case.prepare(sample), key=f"{drawn[i]}{i}", **told))
        raw = Raw(case, tmp_path / "a" / "b" / f"raw{turn}")
        with watched(raw.root):
            raw.reader.write(raw.root, iter(samples), raw.options)
            rows = raw.rows()
            assert len(rows) == len(samples)
            raw.reader.load(raw.root, rows[0])
        beside = {path.relative_to(tmp_path).parts[:3] for path in tmp_path.rglob("*") if path.is_file()}
        assert beside == {("a", "b", f"raw{number}") for number in range(turn + 1)}


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    """Fail where the process grows by more than ``MOST_MB``; far more than that is refused while it is tried."""

    def told(name: str) -> int:
        return int(re.findall(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) // 1024

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    Path("/proc/self/clear_refs").write_text("5")  # so that the highest mark is that of now
    before = told("VmRSS")
    resource.setrlimit(resource.RLIMIT_AS, ((told("VmSize") << 20) + _ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert told("VmHWM") - before < MOST_MB


def _without_protocols(innocent: bytes) -> dict[str, bytes]:
    """Of the pickles those that are not the same trick in six protocols; one reader reads them all."""
    return {name: data for name, data in bombs.pickles(innocent).items() if "protocol" not in name}


BOMBS: list[tuple[str, str, Callable[[bytes], dict[str, bytes]]]] = [
    ("rhd", "anno_training.pickle", bombs.pickles),
    ("mhp", "rvec.pkl", _without_protocols),
    ("ho3d", "0000.pkl", _without_protocols),
    ("ge_realworld", "params.mat", bombs.mats),
    ("nyu", "joint_data.mat", bombs.mats),
    ("stb", "*_SK.mat", bombs.mats),
    ("dexycb", "labels_*.npz", lambda _: bombs.npzs(("joint_3d", "joint_2d", "seg"))),
    ("dexycb", "meta.yml", lambda _: bombs.yamls()),
    ("freihand", "training_xyz.json", lambda _: bombs.jsons()),
    ("interhand26m", "*_joint_3d.json", lambda _: bombs.jsons()),
    ("coco", "train.json", lambda _: bombs.jsons()),
    ("hanco", "meta.json", lambda _: bombs.jsons()),
    ("panoptic", "calibration_*.json", lambda _: bombs.jsons()),
    ("webdataset", "train-*.tar", bombs.tars),
    ("parquet", "train-*.parquet", lambda _: bombs.parquets()),
]


@pytest.mark.parametrize(("name", "pattern", "make"), BOMBS, ids=lambda value: value if isinstance(value, str) else "")
def test_bombs(
    name: str, pattern: str, make: Callable[[bytes], dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing runs, nothing takes memory or time, nothing escapes."""
    raw = written(next(case for case in CASES if case.format == name), tmp_path)
    monkeypatch.chdir(tmp_path)
    path = sorted(raw.root.rglob(pattern))[0]
    assert attempt(raw, path) == "opened"
    for trick, data in make(path.read_bytes()).items():
        with replaced(path, data), warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                with little_memory():
                    attempt(raw, path)
            except Exception as error:
                raise AssertionError(f"{trick}: {type(error).__name__} {error}"[:2000]) from error
        assert not list(tmp_path.rglob(bombs.TELLTALE)), trick
    assert attempt(raw, path) == "opened"


INGESTED = {
    "ge_realworld": "pose_gt.mat",
    "rhd": "anno_training.pickle",
    "freihand": "training_xyz.json",
    "dexycb": "labels_*.npz",
    "nyu": "joint_data.mat",
    "fpha": "skeleton.txt",
    "webdataset": "train-*.tar",
    "parquet": "train-*.parquet",
}


def spoil_picture(raw: Raw) -> int:
    """Damage the first sample's colour picture, wherever it lies; returns how many samples show it."""
    rows = raw.rows()
    name = rows[0]["rgb_file"]
    hands = sum(row["rgb_file"] == name for row in rows)
    if raw.case.format == "webdataset":
        path, offset, size = unpacked(raw.root, name)
        place = offset + size // 2
    elif raw.case.packed:
        path = unpacked(raw.root, name)[0]
        place = path.read_bytes().index(b"IDAT") + 100
    else:
        path = raw.root / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        return hands
    data = bytearray(path.read_bytes())
    data[place : place + 8] = bytes(byte ^ 0x55 for byte in data[place : place + 8])
    path.write_bytes(data)
    return hands


def ingested(raw: Raw, workspace: Path) -> tuple[int, list[str], int]:
    """Exit code, sentences, and how many samples the store lacks, -1 where there is no store."""
    options = [word for name, value in raw.case.options for word in ("--set", f"{name}={value}")]
    arguments = ["ingest", raw.case.format, str(raw.root), "--workers", "1", "--size", "32", *options]
    result = CliRunner().invoke(cli.app, [*arguments, "--workspace", str(workspace)], catch_exceptions=False)
    assert "Traceback" not in result.stderr
    said = [line for line in result.stderr.splitlines() if line.startswith("handsynth: ")]
    store = workspace / "stores" / raw.case.format
    if not store.exists():
        return result.exit_code, said, -1
    told = CliRunner().invoke(cli.app, ["info", str(store), "--json"], catch_exceptions=False)
    info = json.loads(told.stdout)
    assert info["samples"] > 0
    return result.exit_code, said, info["rejected"]


@pytest.mark.parametrize(("name", "pattern"), INGESTED.items())
def test_ingest_rejects_pictures_and_refuses_annotations(name: str, pattern: str, tmp_path: Path) -> None:
    raw = written(next(case for case in CASES if case.format == name), tmp_path)
    hands = spoil_picture(raw)
    assert ingested(raw, tmp_path / "rejected") == (0, [], hands)
    path = sorted(raw.root.rglob(pattern))[0]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    code, said, stored = ingested(raw, tmp_path / "refused")
    assert (code, len(said), stored) == (1, 1, -1)
    assert path.name in said[0]


def test_what_the_file_system_refuses_is_said(tmp_path: Path) -> None:
    """Names that are no UTF-8, numbers beyond any hand, and rights that lack (stood in for by a folder)."""
    raw = written(next(case for case in CASES if case.format == "rgbd_folder"), tmp_path)
    first = next(raw.root.glob("color/*/*.png"))
    odd = os.fsencode(first.parent) + b"/\xff.png"
    for kind in ("color", "depth", "mask"):
        folder = os.fsencode(raw.root / kind / first.parent.name)
        shutil.copy(os.fsencode(raw.root / kind / first.parent.name / first.name), folder + b"/\xff.png")
    with pytest.raises(DataError, match="file names in UTF-8"):
        raw.rows()
    assert os.path.exists(odd)


@pytest.mark.parametrize("place", [name for name in mutations.places() if name not in ("nothing", "a dangling link")])
def test_no_bytes_are_read_from_what_is_no_file(place: str, tmp_path: Path) -> None:
    """Neither a hang (a pipe) nor all memory (a device)."""
    mutations.places()[place](tmp_path / "x.png")
    with pytest.raises(MissingError, match=r"expected a .*file.*, found .* in .*x\.png"):
        files.read(tmp_path / "x.png")


def test_lists_that_unfold_without_end_are_not_small() -> None:
    laugh: Any = [1.0, 2.0, 3.0]
    assert is_small(laugh)
    assert is_small(np.zeros((100, 100)))
    for _ in range(40):
        laugh = [laugh, laugh, laugh]
    assert not is_small(laugh)
    assert not is_small([0] * 5000)


def test_numbers_that_are_none_are_refused_whatever_made_them(tmp_path: Path) -> None:
    """A format that forgets to look is looked after."""
    (tmp_path / "labels").write_text("")
    camera = np.array([[100.0, 100, 5, 5, 0, 0, 0, 0, 0, 10, 10]])
    joints = np.ones((1, 21, 3))

    class Careless:
        name = "careless"
        values: ClassVar[dict[str, Any]] = {}

        def annotations(self, root: Path, options: Any) -> list[Path]:
            return [root / "labels"]

        def catalogue(self, root: Path, options: Any) -> Iterator[Any]:
            yield build_table(1, key=["one"], moment=["one"], side="left", **self.values)

    wrong = [
        ({"joints_mm": joints * 1e39}, "finite numbers in joints_mm, found others for one"),
        ({"keypoints_px": joints[..., :2] * np.nan, "keypoint_state": np.ones((1, 21), np.uint8)}, "keypoints_px"),
        ({"camera": camera * -1}, "a real camera in camera"),
        ({"camera": camera * 1e4}, "a real camera in camera"),
        ({"depth_camera": camera * np.nan}, "a real camera in depth_camera"),
        ({"world_from_camera": np.full((1, 12), np.inf)}, "world_from_camera"),
    ]
    reader: Any = Careless()
    for values, says in [({"joints_mm": joints, "camera": camera}, ""), *wrong]:
        reader.values = values
        (tmp_path / "labels").write_text(says)
        if not says:
            open_catalogue(reader, tmp_path, NoOptions())
            continue
        with pytest.raises(DataError, match=says):
            open_catalogue(reader, tmp_path, NoOptions())


def test_sentences_hold_what_a_terminal_may_get() -> None:
    text = sentence("a\nb", "\x1b[31mred" + "x" * 5000, "c\ud800d")
    assert text.isprintable()
    assert len(text) < 1000
    assert text.startswith(r"expected a\nb, found \x1b[31mred")
    assert text.endswith(r"in c\ud800d")
