"""Summarise a store: where it comes from, what it holds, how large it is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from handsynth.runtime import files
from handsynth.stages.workspace import Workspace, store_name


def info(store: str | None = None, *, workspace: str | Path | Workspace | None = None) -> dict[str, Any]:
    """What ``store.json`` and the words of the samples say, as plain values.

    Raises:
        MissingError, UsageError, StoreError: there is no such store, several to choose from, or it is unfinished.
    """
    opened = Workspace.of(workspace).store(store)
    about, plan = opened.info, opened.info.plan
    words = opened.table(["side", "split", "subject", "sequence", "moment"])
    counted = {
        f"{name}s": dict(sorted(Counter(value or "unknown" for value in words[name].to_pylist()).items()))
        for name in ("side", "split")
    }
    distinct = {f"{name}s": len(set(words[name].drop_null().to_pylist())) for name in ("subject", "sequence", "moment")}
    summary: dict[str, Any] = {
        "name": store_name(opened.address),
        "address": opened.address,
        "format_version": about.format_version,
        "hash": opened.hash,
        "source": msgspec.to_builtins(plan.source),
        "settings": plan.settings,
        "samples": about.filled,
        "rejected": about.rejected,
        "slots": plan.slots,
        "size_px": plan.size,
        "pixels": list(plan.pixels),
        "codec": plan.codec,
        "shards": plan.shards,
        "bytes": _pixel_bytes(opened.address, plan),
        **counted,
        **distinct,
    }
    if about.augmented:
        summary["kept"] = len(opened.kept)
    return summary


def _pixel_bytes(address: str, plan: Any) -> int:
    from handsynth.store.schema import ARRAYS

    paths = [ARRAYS[field].shard_path(shard) for field in plan.pixels for shard in range(plan.shards)]
    return sum(files.size(files.join(address, path)) for path in paths)
