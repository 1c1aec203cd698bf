"""WebDataset: samples as neighbouring members of plain tar files, read in a stream by many trainers.

Reads and writes ``shards/train-000000.tar`` with ``KEY.png`` or ``KEY.jpg`` (colour), ``KEY.depth.png`` (16-bit
steps), ``KEY.mask.png`` (codes of ``HandSample.mask``) and ``KEY.json`` (a ``records.SampleRecord``). Nothing is ever
unpacked: the catalogue walks headers and reads the JSON, ``load`` reads the bytes of one member.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec
import pyarrow as pa

from handsynth.errors import DataError, MissingError, sentence
from handsynth.formats.columns import batched
from handsynth.formats.exchange import (
    EVERYTHING,
    ImageCodec,
    color_bytes,
    depth_from_steps,
    depth_steps,
    file_word,
    fitting_unit,
    hand_mask,
    packed,
    require_picture,
    split_of,
    take_unit,
    to_rows,
    unpacked,
)
from handsynth.formats.format import Field
from handsynth.formats.layout import nothing_found, require_folder
from handsynth.formats.records import SampleRecord, from_record, to_record
from handsynth.hand.rows import from_row
from handsynth.hand.sample import HandSample
from handsynth.imaging.codecs import decode_color, decode_raw, encode_png
from handsynth.imaging.warp import Box
from handsynth.runtime import files, progress
from handsynth.runtime.settings import Settings

_COLUMNS = {
    "png": "rgb_file",
    "jpg": "rgb_file",
    "jpeg": "rgb_file",
    "depth.png": "depth_file",
    "mask.png": "mask_file",
}
_MAX_JSON = 16 << 20
_DAMAGED = (tarfile.TarError, EOFError, ValueError, ArithmeticError, LookupError, OSError, RecursionError, MemoryError)
"""What tarfile raises for headers that are not what they should be."""
_BATCH = 4096
_BLOCK = 1 << 16


class WebDatasetOptions(Settings, frozen=True, kw_only=True):
    """How shards are written; reading needs none of it."""

    image: ImageCodec = "png"
    """``png`` keeps colour exactly, ``jpeg`` is smaller."""
    quality: Annotated[int, msgspec.Meta(ge=1, le=100)] = 95
    """Of JPEG."""
    depth_unit_mm: Annotated[float, msgspec.Meta(gt=0)] = 0.1
    """Step of the 16-bit depth; ten times it, and so on, for an image that reaches further than 65535 steps."""
    samples_per_shard: Annotated[int, msgspec.Meta(ge=1)] = 1000


class WebDataset:
    """See :class:`handsynth.formats.format.Format`.

    ``write`` puts samples into the shards of their split in the order they come, ``train`` where they have none. A
    member's base name is a running number and the sample's key with every sign but letters, digits, '-' and '_'
    replaced, so it has no dot; the key itself is in the JSON. Of shards from elsewhere the first picture of a key is
    its colour, and JSON fields of another vocabulary are not looked at.
    """

    name: ClassVar[str] = "webdataset"
    summary: ClassVar[str] = "WebDataset: tar shards of pictures and JSON, for streaming trainers"
    fields: ClassVar[Mapping[str, Field]] = EVERYTHING
    cropped: ClassVar[bool] = False
    independent_2d: ClassVar[bool] = True
    options_type: ClassVar[type[Settings]] = WebDatasetOptions

    def annotations(self, root: Path, options: WebDatasetOptions) -> list[Path]:
        require_folder(root, self.name)
        shards = sorted((*root.glob("*.tar"), *root.glob("shards/*.tar")))
        if not shards:
            raise nothing_found("shards/*.tar, or *.tar", root, self.name)
        return shards

    def catalogue(self, root: Path, options: WebDatasetOptions) -> Iterator[pa.Table]:
        shards = self.annotations(root, options)
        with progress.task("reading annotations of webdataset", len(shards)) as advance:
            for shard in shards:
                for batch in batched(_samples(shard), _BATCH):
                    rows = [_row(group, shard, root) for group in batch]
                    yield to_rows((sample for sample, _ in rows), [names for _, names in rows])
                advance()

    def load(self, root: Path, row: Mapping[str, Any], window: Box | None = None) -> HandSample:
        sample, unit_mm = take_unit(from_row(row), 1.0)
        rgb = depth = mask = None
        if row["rgb_file"] is not None:
            data, where = _member(root, row, "rgb_file")
            rgb = decode_color(data, where, window)
        if row["depth_file"] is not None:
            data, where = _member(root, row, "depth_file")
            depth = depth_from_steps(decode_raw(data, where, window), unit_mm, where)
        if row["mask_file"] is not None:
            data, where = _member(root, row, "mask_file")
            mask = hand_mask(decode_raw(data, where, window), where)
        return replace(sample, rgb=rgb, depth_mm=depth, mask=mask)

    def write(self, root: Path, samples: Iterable[HandSample], options: WebDatasetOptions) -> None:
        with ExitStack() as stack:
            writers: dict[str, _Writer] = {}
            for sample in samples:
                require_picture(sample, self.name)
                split = file_word(sample.split, "train")
                if split not in writers:
                    writers[split] = stack.enter_context(_Writer(root / "shards", split, options))
                writers[split].add(sample)


class _Writer:
    """Shards of one split, one open at a time."""

    def __init__(self, folder: Path, split: str, options: WebDatasetOptions) -> None:
        self._folder, self._split, self._options = folder, split, options
        self._count = 0
        self._open = ExitStack()
        self._tar: tarfile.TarFile | None = None

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    def add(self, sample: HandSample) -> None:
        number, options = self._count, self._options
        if number % options.samples_per_shard == 0:
            self._open.close()
            shard = self._folder / f"{self._split}-{number // options.samples_per_shard:06d}.tar"
            temporary = self._open.enter_context(files.replacing(shard))
            self._tar = self._open.enter_context(tarfile.TarFile(temporary, "w", format=tarfile.USTAR_FORMAT))
        base = f"{number:08d}-{file_word(sample.key, 'sample')}"
        record = to_record(sample)
        if sample.rgb is not None:
            data, ending = color_bytes(sample.rgb, options.image, options.quality)
            self._put(f"{base}.{ending}", data)
        if sample.depth_mm is not None:
            record.depth_unit_mm = fitting_unit(sample.depth_mm, options.depth_unit_mm)
            self._put(f"{base}.depth.png", encode_png(depth_steps(sample.depth_mm, record.depth_unit_mm)))
        if sample.mask is not None:
            self._put(f"{base}.mask.png", encode_png(sample.mask))
        self._put(f"{base}.json", msgspec.json.encode(record))
        self._count += 1

    def _put(self, name: str, data: bytes) -> None:
        assert self._tar is not None
        member = tarfile.TarInfo(name)  # its time, owner and rights are fixed, so that shards are reproducible
        member.size = len(data)
        self._tar.addfile(member, io.BytesIO(data))
        _forget(self._tar)


@dataclass
class _Group:
    """Neighbouring members of one base name."""

    base: str
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Catalogue column -> offset and size in the tar."""
    json: bytes | None = None


def _samples(shard: Path) -> Iterator[_Group]:
    """Groups of members that hold a picture, in the order of the tar.

    Raises:
        DataError: the tar is damaged, compressed, or holds what no shard does.
    """
    group: _Group | None = None
    with shard.open("rb") as file:
        for name, offset, size in _members(shard, file):
            folder, _, last = name.removeprefix("./").rpartition("/")
            base, _, ending = last.partition(".")
            base = f"{folder}/{base}" if folder else base
            if group is None or group.base != base:
                if group is not None and group.places:
                    yield group
                group = _Group(base)
            ending = ending.lower()
            if ending == "json":
                if size > _MAX_JSON:
                    raise DataError(sentence(f"at most {_MAX_JSON} bytes of JSON", str(size), f"{name} of {shard}"))
                file.seek(offset)
                group.json = file.read(size)
            elif ending in _COLUMNS:
                group.places.setdefault(_COLUMNS[ending], (offset, size))
    if group is not None and group.places:
        yield group


def _members(shard: Path, file: Any) -> Iterator[tuple[str, int, int]]:
    """Name, offset and size of every plain file in an uncompressed tar; folders are passed over."""
    advice = "fetch the shard again, or write it anew as a plain tar"
    length = os.fstat(file.fileno()).st_size
    last = -1
    try:
        with tarfile.open(fileobj=file, mode="r:", errorlevel=2) as tar:
            while (member := tar.next()) is not None:
                _forget(tar)
                # Sizes in headers may be anything; a negative one would lead back to where the walk has been.
                if member.size < 0 or member.offset_data <= last or member.offset_data + member.size > length:
                    raise DataError(sentence("members inside their tar", f"one of {member.size} bytes", shard, advice))
                last = member.offset_data
                if member.isdir():
                    continue
                if not member.isreg() or member.issparse():
                    raise DataError(sentence("plain files", f"{member.name!r}, another kind", shard, advice))
                yield member.name, member.offset_data, member.size
            # tarfile takes a damaged header for the end; a tar really ends with zeros.
            file.seek(tar.offset)
            rest = file.read(tarfile.BLOCKSIZE)
            if not rest or any(rest) or any(any(block) for block in iter(lambda: file.read(_BLOCK), b"")):
                raise DataError(sentence("a whole, uncompressed tar", "one without an end", shard, advice))
    except DataError:
        raise
    except _DAMAGED as error:
        raise DataError(sentence("a whole, uncompressed tar", str(error) or "its end", shard, advice)) from None


def _forget(tar: tarfile.TarFile) -> None:
    """Drop the headers that a tar remembers; a shard may hold millions."""
    tar.members.clear()  # type: ignore[attr-defined]  # public in the library, not in its stubs


def _row(group: _Group, shard: Path, root: Path) -> tuple[HandSample, dict[str, str]]:
    """A sample without pixels and the names of its pictures."""
    where = f"{group.base}.json of {shard}"
    try:
        record = SampleRecord() if group.json is None else msgspec.json.decode(group.json, type=SampleRecord)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(sentence("JSON of a sample", str(error), where, "mend or remove that member")) from None
    sample = from_record(record, group.base, where)
    if record.key is None:
        sample = replace(sample, split=record.split or split_of(shard.stem))
    file = shard.relative_to(root).as_posix()
    return sample, {column: packed(file, *place) for column, place in group.places.items()}


def _member(root: Path, row: Mapping[str, Any], column: str) -> tuple[bytes, str]:
    """Bytes of one member, and how errors name it."""
    path, offset, size = unpacked(root, row[column])
    where = f"{column.removesuffix('_file')} of {row['key']} in {path}"
    try:
        with path.open("rb") as file:
            if offset + size > os.fstat(file.fileno()).st_size:
                raise DataError(sentence(f"{size} bytes at {offset}", "a shorter file", where, "fetch the shard again"))
            file.seek(offset)
            return file.read(size), where
    except OSError as error:
        found = "none" if isinstance(error, FileNotFoundError) else (error.strerror or str(error)).lower()
        raise MissingError(sentence("a shard that can be read", found, path, "fetch it again")) from None
