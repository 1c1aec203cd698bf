"""What a format is: how one dataset lies on disk, read and written.

``catalogue`` lists every sample with all its numbers and words, part by part, and opens no image; ``load`` only decodes
pixels; ``write`` lays samples out exactly as the publishers do. Reading what was written gives the declared fields
back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from handsynth.hand.sample import HandSample
from handsynth.imaging.warp import Box
from handsynth.runtime.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

FILE_COLUMNS = ("rgb_file", "depth_file", "mask_file")
"""Catalogue columns beyond ``hand.rows.row_schema``: paths below the root with '/', null where there is none.

A picture inside a larger file is ``FILE#NUMBER,NUMBER``, see ``exchange.packed``."""


class NoOptions(Settings, frozen=True):
    """A format without options."""


class Field(Settings, frozen=True, kw_only=True):
    """One field of ``HandSample`` that a format holds, and how exactly it comes back."""

    tolerance: float = 0.0
    """Largest difference after writing and reading, in the field's own unit."""
    note: str = ""
    """Why it is not exact: JPEG, integer depth, text digits."""


class Format(Protocol):
    """One dataset's layout on disk."""

    name: ClassVar[str]
    summary: ClassVar[str]
    """One line for ``handsynth datasets``."""
    fields: ClassVar[Mapping[str, Field]]
    """Fields of ``HandSample`` that this layout holds; what is not here is dropped by ``write``."""
    cropped: ClassVar[bool]
    """Whether images are the publisher's own crops, used as published (ingest then only resizes)."""
    independent_2d: ClassVar[bool]
    """Whether the files hold 2-D joints beside the 3-D ones, so that reprojection checks the source."""
    options_type: ClassVar[type[Settings]]

    def annotations(self, root: Path, options: Any) -> list[Path]:
        """Files whose bytes fix the catalogue, in a fixed order; folders, where the names in them do.

        Raises:
            MissingError: the root or a file in it is not there; says what a download looks like.
        """
        ...

    def catalogue(self, root: Path, options: Any) -> Iterator[pa.Table]:
        """All samples in a fixed order, in parts of up to some ten thousand rows, so that memory stays bounded.

        Columns are those of ``hand.rows.row_schema``, then ``FILE_COLUMNS``. A sample without joints, or marked by its
        publisher as not labelled, stays a row with absent joints; an image that is listed but not there is an error.

        Raises:
            MissingError, DataError: files are missing or disagree.
        """
        ...

    def load(self, root: Path, row: Mapping[str, Any], window: Box | None = None) -> HandSample:
        """The sample of one catalogue row, pixels decoded.

        Args:
            window: what the caller will look at; pixels outside may be left black, which saves decoding them.

        Raises:
            MissingError, DataError: an image is missing or damaged.
        """
        ...

    def write(self, root: Path, samples: Iterable[HandSample], options: Any) -> None:
        """Lay samples out as the publishers do; consumes the samples one by one and writes annotations last.

        What does not fit is made to fit, each way named in the format's own docstring: other cameras are resampled
        into the layout's, the other hand is mirrored where a layout knows one side only, frames are numbered anew.

        Raises:
            DataError: a sample lacks what the layout must have.
        """
        ...
