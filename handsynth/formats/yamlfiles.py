"""Calibration and meta files of YAML: small, typed, without tags that build objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from handsynth.errors import DataError, sentence
from handsynth.runtime import files

T = TypeVar("T")
_LIMIT_BYTES = 1 << 16


class _Plain(yaml.SafeLoader):
    """Without merge keys: forty lines of them make a mapping of terabytes."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(problem="a merge key", problem_mark=key.start_mark)


def read_yaml(path: Path, kind: type[T]) -> T:
    """The file as ``kind`` (a msgspec type: unknown fields of a Struct are ignored, the rest is checked).

    Raises:
        MissingError: the file is not there.
        DataError: it is no plain YAML, is larger than any calibration, or is not of that shape.
    """
    data = files.read(path)
    if len(data) > _LIMIT_BYTES:
        raise DataError(sentence("a small YAML file", f"{len(data)} bytes", path, "use the publisher's own file"))
    try:
        return msgspec.convert(yaml.load(data, _Plain), kind)  # a safe loader with less
    except (yaml.YAMLError, msgspec.ValidationError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            sentence("YAML of the published shape", reason, path, "fetch or extract the file again")
        ) from None


def write_yaml(path: Path, value: Any) -> None:
    """Write plain values; lists of numbers stand on one line."""
    files.write(path, yaml.safe_dump(value, default_flow_style=None, sort_keys=False).encode())
