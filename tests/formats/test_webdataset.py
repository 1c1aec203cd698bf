"""WebDataset: what the tar holds, shards of other people, and tars that are not what they seem."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from handsynth.errors import DataError
from handsynth.formats.catalogue import open_catalogue
from handsynth.formats.webdataset import WebDataset, WebDatasetOptions
from handsynth.hand.sample import HandSample
from handsynth.imaging.codecs import encode_png
from tests.formats.samples import listed, simulated
from tests.formats.test_exchange import full, same

OPTIONS = WebDatasetOptions()
PIXELS = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


def shard(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def read(root: Path) -> list[HandSample]:
    return [WebDataset().load(root, row) for row in open_catalogue(WebDataset(), root, OPTIONS).table.to_pylist()]


def test_every_field_comes_back(tmp_path: Path) -> None:
    sample = replace(full(), rgb=PIXELS, depth_mm=np.full((4, 4), 9000.5, np.float32), mask=PIXELS[..., 0] % 19)
    WebDataset().write(tmp_path, [sample], OPTIONS)
    [got] = read(tmp_path)
    same(sample, got)
    np.testing.assert_array_equal(got.rgb, PIXELS)
    np.testing.assert_array_equal(got.mask, sample.mask)
    # Beyond 6.55 m the step grows to 1 mm, and the sample says so.
    np.testing.assert_allclose(got.depth_mm, 9000.5, atol=0.5)


def test_members_are_what_the_package_wants(tmp_path: Path) -> None:
    """Base names without dots, members of a sample next to each other, splits and counts in the names of shards."""
    samples = [replace(sample, key=f"../x.{i}") for i, sample in enumerate(simulated("stb_sk") * 2)]
    WebDataset().write(tmp_path, samples, WebDatasetOptions(samples_per_shard=3, image="jpeg", quality=80))
    shards = sorted(path.name for path in (tmp_path / "shards").iterdir())
    train = sum(sample.split == "train" for sample in samples)
    assert [name for name in shards if name.startswith("train")] == [
        f"train-{i:06d}.tar" for i in range((train + 2) // 3)
    ]
    with tarfile.open(tmp_path / "shards" / shards[-1]) as tar:
        names = tar.getnames()
        assert {(member.mtime, member.uid, member.mode) for member in tar.getmembers()} == {(0, 0, 0o644)}
    bases = [name.partition(".")[0] for name in names]
    assert all("/" not in base for base in bases)
    assert [base for i, base in enumerate(bases) if i == 0 or bases[i - 1] != base] == sorted(set(bases))
    assert {name.partition(".")[2] for name in names} == {"jpg", "depth.png", "json"} | (
        {"mask.png"} if samples[0].mask is not None else set()
    )
    assert sorted(sample.key for sample in read(tmp_path)) == sorted(sample.key for sample in samples)


def test_shards_of_other_people(tmp_path: Path) -> None:
    """Pictures without our JSON, folders in names, members that are none of ours."""
    picture = encode_png(PIXELS)
    shard(
        tmp_path / "hands-test-0.tar",
        {
            "./a.b/0001.png": picture,
            "./a.b/0001.cls": b"3",
            "a.b/0002.PNG": picture,
            "a.b/0002.json": json.dumps({"caption": "a hand", "side": "left"}).encode(),
            "readme.txt": b"",
        },
    )
    samples = read(tmp_path)
    assert [(s.key, s.split, s.side) for s in samples] == [
        ("a.b/0001", "test", "unknown"),
        ("a.b/0002", "test", "left"),
    ]
    np.testing.assert_array_equal(samples[1].rgb, PIXELS)


def test_links_are_not_followed(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        member = tarfile.TarInfo("0.png")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    with pytest.raises(DataError, match=r"plain files, found '0\.png', another kind"):
        read(tmp_path)


def test_names_that_lead_out_open_nothing(tmp_path: Path) -> None:
    shard(tmp_path / "a.tar", {"../../outside.png": encode_png(PIXELS), "/etc/x.png": encode_png(PIXELS)})
    np.testing.assert_array_equal(read(tmp_path)[0].rgb, PIXELS)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]
    assert not (tmp_path.parents[1] / "outside.png").exists()


def patched(offset: int, data: bytes) -> Callable[[bytes], bytes]:
    def change(tar: bytes) -> bytes:
        header = bytearray(tar[:512])
        header[offset : offset + len(data)] = data
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        return bytes(header) + tar[512:]

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda tar: b"",
        lambda tar: tar[:700],
        lambda tar: tar[:2048],
        lambda tar: b"\x1f\x8b" + tar[2:],
        lambda tar: tar[:1024] + b"x" * 512 + tar[1536:],
        lambda tar: tar[:1024] + b"\0" * 512 + tar[1536:],
        lambda tar: b"no tar at all" * 100,
        patched(124, b"77777777777\0"),  # 8 GB
        patched(124, b"\x80" + b"\x7f" * 11),  # as large as a size can be
        patched(124, b"\xff" * 12),  # -1
        patched(124, b"\xff" + b"\0" * 11),  # as negative as a size can be
        patched(124, b"not a num\0\0\0"),
        patched(156, b"S"),  # sparse
    ],
)
def test_damaged_tars(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    path = shard(tmp_path / "a.tar", {"0.png": encode_png(PIXELS), "1.png": encode_png(PIXELS)})
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=r"a\.tar"):
        read(tmp_path)


@pytest.mark.parametrize("kind", [b"L", b"x"])
def test_headers_that_only_name_the_next(tmp_path: Path, kind: bytes) -> None:
    """A picture taken for a long name or for extended headers spoils at most the name of the next member.

    Some releases of Python refuse such extended headers; that must be told as of any damaged tar.
    """
    path = shard(tmp_path / "a.tar", {"0.png": encode_png(PIXELS), "1.png": encode_png(PIXELS)})
    path.write_bytes(patched(156, kind)(path.read_bytes()))
    keys, told = set(), ""
    try:
        keys = {sample.key for sample in read(tmp_path)}
    except DataError as error:
        told = str(error)
    assert ("invalid header in" in told and "a.tar" in told) if told else keys <= {"1"}


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"joints_mm": 3}', b"[" * 100_000, b'{"camera": {"fx": 1}}', b"\xff"]
)
def test_json_of_another_shape(tmp_path: Path, data: bytes) -> None:
    shard(tmp_path / "a.tar", {"0.png": encode_png(PIXELS), "0.json": data})
    with pytest.raises(DataError, match=r"0\.json of .*a\.tar"):
        read(tmp_path)


def test_a_shard_cut_after_it_was_listed(tmp_path: Path) -> None:
    WebDataset().write(tmp_path, simulated("stb_sk")[:1], OPTIONS)
    [row] = listed(WebDataset(), tmp_path, OPTIONS).to_pylist()
    path = next((tmp_path / "shards").iterdir())
    whole = path.read_bytes()
    for length in (0, 600, 5000):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=path.name):
            WebDataset().load(tmp_path, row)
    path.write_bytes(whole[:512] + b"\0" * (len(whole) - 512))
    with pytest.raises(DataError, match=path.name):
        WebDataset().load(tmp_path, row)


def test_keys_that_repeat(tmp_path: Path) -> None:
    for name in ("a", "b"):
        shard(tmp_path / f"{name}.tar", {"0.png": encode_png(PIXELS)})
    with pytest.raises(DataError, match="0 more than once"):
        read(tmp_path)


def test_nothing_is_left_of_a_stopped_writer(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="sample bare"):
        WebDataset().write(tmp_path, [simulated("stb_sk")[0], HandSample(key="bare")], OPTIONS)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
