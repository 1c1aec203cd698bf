"""The record of a reduction experiment: ``runs/STORE-reduction.json``, one line per measured cell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from handsynth.errors import MissingError, UsageError, sentence
from handsynth.runtime.settings import Settings, parse
from handsynth.stages.workspace import Workspace, store_name
from handsynth.store.read import Store
from handsynth.training.run import StoreRef

if TYPE_CHECKING:
    import pandas as pd

REDUCTION_VERSION = 1


class CellScore(Settings, frozen=True, kw_only=True):
    """One estimator on one training set, or one trivial answer from the same reduced set."""

    estimator: str
    """Or ``mean pose``, ``nearest training pose (oracle)``."""
    generator: str
    """``none``: the reduced set alone."""
    alpha: float
    contiguous: bool
    seed: int
    epe_mean_mm: float
    auc_20_50_tail: float
    samples: int
    """Of the reduced set."""
    added: int
    """Generated or rendered samples beside them."""
    trivial: bool = False
    run: str = ""


class Reduction(Settings, frozen=True, kw_only=True):
    """``STORE-reduction.json``: what the last experiment on a store measured, and what it did not."""

    version: int = REDUCTION_VERSION
    store: StoreRef
    protocol: str
    cells: tuple[CellScore, ...]
    left_out: tuple[str, ...] = ()
    """Cells for which the budget left no time."""
    failed: tuple[str, ...] = ()
    """Cells that failed, with the reason."""


def record_path(space: Workspace, store: Store) -> Path:
    """Where the record of a store's experiment stands; its report has the same name, ending in ``.html``."""
    return space.root / "runs" / f"{store_name(store.address)}-reduction.json"


def frame_of(record: Reduction) -> pd.DataFrame:
    """One row per cell and trivial answer, in the order of the experiment; columns are :class:`CellScore`'s fields."""
    import pandas as pd

    columns = [field.name for field in msgspec.structs.fields(CellScore)]
    return pd.DataFrame([msgspec.structs.asdict(cell) for cell in record.cells], columns=columns)


def reduction_frame(space: Workspace, store: Store) -> pd.DataFrame:
    """What the last ``reduce`` on a store measured, see :func:`frame_of`.

    Raises:
        MissingError: nothing was measured on it.
        UsageError: the store is another one than was measured on.
        DataError: the record is damaged.
    """
    path = record_path(space, store)
    if not path.is_file():
        raise MissingError(sentence("a measured reduction", "none", path, "run handsynth reduce"))
    record = parse(path.read_bytes(), Reduction, path)
    if record.store.hash != store.hash:
        raise UsageError(sentence("a reduction of this store", "one of another content", path, "run handsynth reduce"))
    return frame_of(record)
