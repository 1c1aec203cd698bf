"""What of a reduction experiment is there already, under the names that its stages will use; no others are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from handsynth.errors import UsageError, sentence
from handsynth.runtime.settings import Settings, canonical_json, override
from handsynth.simulator import SimulatorSettings
from handsynth.stages.augment import images_name, placeless
from handsynth.stages.cells import Cell, Images, Judge, Part, Recipe, weights_seed_of
from handsynth.stages.simulated_arm import SIMULATOR, rendered_name
from handsynth.stages.train import run_name
from handsynth.stages.workspace import store_name
from handsynth.store.read import Store
from handsynth.training.loop import Device
from handsynth.training.run import read_run


class Present:
    """Runs and stores of the parts of one experiment, as far as they are there and made as it makes them."""

    def __init__(self, recipe: Recipe, data: Store) -> None:
        self.recipe, self.data = recipe, data
        self._precision = Device.choose(recipe.device).precision
        self._compiled = recipe.compile == "on"

    def run(self, part: Part) -> Path | None:
        """The run, finished or not, of a judge, a cell, or the generator of images.

        Raises:
            DataError: its record is damaged.
        """
        folder = self._folder(part)
        return folder if folder is not None and not self._other_run(part, folder) else None

    def images(self, part: Images) -> Store | None:
        """The finished store of these images.

        Raises:
            DataError, StoreError: it is damaged.
        """
        store = self._store(part)
        return store if store is not None and not self._other_images(part, store) else None

    def refuse_others(self, parts: Sequence[Part]) -> None:
        """See that nothing stands in the way under the name of a part.

        Raises:
            UsageError: a run or a store was made with other settings.
            DataError, StoreError: one is damaged.
        """
        advice = "give another --workspace, or remove what was made with the other settings"
        for part in parts:
            folder = self._folder(part)
            if folder is not None and (differ := self._other_run(part, folder)):
                raise UsageError(sentence("a run of the same settings", f"another {', '.join(differ)}", folder, advice))
            store = self._store(part) if isinstance(part, Images) else None
            if isinstance(part, Images) and store is not None and (differ := self._other_images(part, store)):
                found = f"another {', '.join(differ)}"
                raise UsageError(sentence("images of the same settings", found, store.address, advice))

    def _folder(self, part: Part) -> Path | None:
        """Where the run of a part is, whatever its settings; the simulator has none."""
        draw = part.draw
        if isinstance(part, Judge):
            name = self.recipe.judge_name(draw)
        else:
            system = self._system(part)
            if system == SIMULATOR:
                return None
            needed = self.recipe.needs(part)
            added = self._images_name(needed) if isinstance(needed, Images) else None
            preset = self.recipe.training(system)[0]
            name = run_name(self.data, system, draw.alpha, draw.seed, draw.contiguous, added, preset)
        folder = self.recipe.workspace.new_run(name)
        return folder if (folder / "run.json").is_file() else None

    def _store(self, part: Images) -> Store | None:
        space, name = self.recipe.workspace, self._images_name(part)
        return space.store(name) if (Path(space.new_store(name)) / "store.json").is_file() else None

    def _images_name(self, part: Images) -> str:
        draw, store = part.draw, store_name(self.data.address)
        if part.generator == SIMULATOR:
            return rendered_name(store, draw.alpha, draw.contiguous, draw.seed)
        preset = self.recipe.training(part.generator)[0]
        judge = self.recipe.judge_name(draw) if self.recipe.needs(part) is not None else None
        return images_name(
            store, draw.alpha, part.generator, draw.seed, draw.contiguous, preset,
            judge=judge, most_mm=self.recipe.most_mm if judge else None,
        )  # fmt: skip

    def _system(self, part: Part) -> str:
        if isinstance(part, Judge):
            return self.recipe.judge
        return part.generator if isinstance(part, Images) else part.estimator

    def _other_run(self, part: Part, folder: Path) -> list[str]:
        """In what a run is not the one that the experiment makes."""
        info, draw = read_run(folder), part.draw
        preset, settings, steps = self.recipe.chosen(self._system(part))
        wanted: dict[str, Any] = {
            "system": self._system(part),
            "preset": preset,
            "settings": _plain(settings),
            "steps": steps,
            "alpha": draw.alpha,
            "contiguous": draw.contiguous,
            "seed": draw.seed,
            "weights_seed": weights_seed_of(draw) if isinstance(part, Judge) else None,
            "precision": self._precision,
            "compiled": self._compiled,
            "start": None,
            "depth": None,
            "guide": None,
        }
        differ = [key for key, value in wanted.items() if getattr(info, key) != value]
        if info.store.hash != self.data.hash:
            differ.append("store")
        needed = self.recipe.needs(part)
        images = self._store(needed) if isinstance(part, Cell) and isinstance(needed, Images) else None
        if images is not None and (info.added is None or info.added.hash != images.hash):
            differ.append("added")
        return differ

    def _other_images(self, part: Images, store: Store) -> list[str]:
        """In what a store is not the one that the experiment makes."""
        found, size = {"compiled": False} | store.info.plan.settings, self.data.info.plan.size
        if part.generator == SIMULATOR:
            chosen = override(SimulatorSettings(size=size, seed=part.draw.seed), self.recipe.of(SIMULATOR))
            wanted: dict[str, Any] = {"simulator": _plain(chosen)}
        else:
            preset, settings, steps = self.recipe.chosen(part.generator)
            wanted = {"preset": preset, "generator": placeless(_plain(settings)), "steps": steps}
            wanted |= {"precision": self._precision, "compiled": self._compiled, "match": "nearest"}
        differ = [key for key, value in wanted.items() if found.get(key) != value]
        return differ if store.info.plan.source.hash == self.data.hash else [*differ, "store"]


def _plain(settings: Settings) -> dict[str, Any]:
    """As a record holds them."""
    plain: dict[str, Any] = msgspec.json.decode(canonical_json(settings))
    return plain
