"""The workspace: ``data/NAME``, ``stores/NAME``, ``runs/NAME`` below one folder, and what a name in it means."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from handsynth.errors import MissingError, UsageError, sentence
from handsynth.runtime import files
from handsynth.store.read import Store, open_store


@dataclass(frozen=True)
class Workspace:
    """A folder of data, stores and runs; names in it and paths outside it both work as arguments."""

    root: Path

    @classmethod
    def of(cls, workspace: str | Path | Workspace | None = None) -> Workspace:
        """``None`` is ``HANDSYNTH_WORKSPACE`` or the current folder."""
        if isinstance(workspace, Workspace):
            return workspace
        return cls(Path(workspace or os.environ.get("HANDSYNTH_WORKSPACE") or "."))

    def data(self, name: str, root: str | Path | None = None) -> Path:
        """Raw folder of a dataset: ``root`` where given, else ``data/NAME``.

        Raises:
            MissingError: it is not a folder.
        """
        folder = Path(root) if root is not None else self.root / "data" / name
        if not folder.is_dir():
            advice = f"give the folder: handsynth ingest {name} FOLDER, or see: handsynth datasets {name}"
            raise MissingError(sentence(f"the raw files of {name}", "no folder", folder, advice))
        return folder

    def new_store(self, name: str) -> str:
        """Address of a store to be written: a name in the workspace, a path or a remote address."""
        return str(name) if _is_address(name) else str(self.root / "stores" / name)

    def store_names(self, augmented: bool = False) -> list[str]:
        """Finished stores in the workspace; augmented ones only where asked for."""
        found = []
        for name in files.names(self.root / "stores"):
            address = self.root / "stores" / name
            if (address / "store.json").is_file() and (augmented or not open_store(str(address)).info.augmented):
                found.append(name)
        return found

    def store(self, name: str | None = None) -> Store:
        """Open a store by name or address; without one, the only store that is not augmented.

        Raises:
            MissingError: there is none, or no such one.
            UsageError: there are several to choose from.
            StoreError: it is unfinished or of another version.
        """
        if name is not None:
            address = self.new_store(name)
            if not files.exists(address):
                known = ", ".join(self.store_names(augmented=True)) or "none"
                raise MissingError(sentence(f"a store named {name}", f"the stores {known}", self.root / "stores"))
            return open_store(address)
        names = self.store_names()
        begun = [other for other in files.names(self.root / "stores") if other not in self.store_names(augmented=True)]
        if not names and begun:
            advice = "run the command that made it again to resume"
            raise MissingError(
                sentence("a finished store", f"unfinished {', '.join(begun)}", self.root / "stores", advice)
            )
        return open_store(str(self.root / "stores" / _only(names, "store", self.root / "stores", "handsynth ingest")))

    def new_run(self, name: str) -> Path:
        """Folder of a run to be made."""
        return Path(name) if _is_address(name) else self.root / "runs" / name

    def run_names(self) -> list[str]:
        """Runs in the workspace."""
        return [name for name in files.names(self.root / "runs") if (self.root / "runs" / name / "run.json").is_file()]

    def run(self, name: str | None = None) -> Path:
        """Folder of a run by name or path; without one, the only run.

        Raises:
            MissingError, UsageError: none, no such one, or several.
        """
        if name is None:
            return self.root / "runs" / _only(self.run_names(), "run", self.root / "runs", "handsynth train")
        folder = self.new_run(name)
        if not (folder / "run.json").is_file():
            known = ", ".join(self.run_names())
            raise MissingError(
                sentence(f"a run named {name}", f"the runs {known}" if known else "none", self.root / "runs")
            )
        return folder


def store_name(address: str) -> str:
    """The last part of a store's address: what runs and reports call it."""
    return address.rstrip("/").rsplit("/", 1)[-1]


def _is_address(name: str) -> bool:
    return "/" in name or "\\" in name or name in (".", "..")


def _only(names: list[str], kind: str, where: Path, command: str) -> str:
    if not names:
        raise MissingError(sentence(f"a {kind}", "none", where, f"make one: {command}"))
    if len(names) > 1:
        raise UsageError(
            sentence(f"the name of one {kind}", f"several ({', '.join(names)})", where, "name the one to use")
        )
    return names[0]
