"""Make the store that an experiment reads, whichever data it is run on: the built-in benchmark, or a dataset."""

from __future__ import annotations

from pathlib import Path

from handsynth.errors import StoreError, UsageError, sentence
from handsynth.runtime import files, progress
from handsynth.runtime.settings import digest
from handsynth.simulator.recipes import get_recipe
from handsynth.stages.ingest import ingest
from handsynth.stages.simulate import simulate
from handsynth.stages.workspace import Workspace
from handsynth.store.read import open_store
from handsynth.store.schema import StorePlan

SIMULATED = "sim"
"""The built-in benchmark, by the name that stands in place of a dataset's."""


def prepare(
    data: str = SIMULATED,
    root: str | Path | None = None,
    recipe: str = "bench-v1-mini",
    store: str | None = None,
    device: str = "auto",
    workers: int | None = None,
    workspace: str | Path | Workspace | None = None,
) -> str:
    """Render or ingest the data where there is no such store yet, and return the store's address.

    A store that is there is taken as it is, whatever device rendered it or size it was ingested at.

    Args:
        data: ``sim``, the built-in benchmark; or a dataset's name, as in ``handsynth datasets``.
        root: raw files of a dataset, ``data/NAME`` by default, and not looked at where the store is there; the built-in
            benchmark has none.
        recipe: which benchmark: ``bench-v1``, or its miniature.
        store: name of the store; by default the recipe's or the dataset's.
        device: what renders; see ``simulate``.

    Raises:
        UsageError: there is no such recipe or dataset, or ``root`` is given for the built-in benchmark.
        MissingError: neither the store nor the dataset's raw files are there.
        StoreError: the store's name is taken by other data.
        DataError: the raw files are damaged.
    """
    space = Workspace.of(workspace)
    simulated = data == SIMULATED
    if simulated and root is not None:
        found, advice = f"root={root}", "name the dataset of these files as data, or leave root out"
        raise UsageError(sentence(f"no raw files beside data={SIMULATED}, which is rendered", found, "prepare", advice))
    name = store or (recipe if simulated else data)
    address = space.new_store(name)
    if files.exists(files.join(address, "store.json")):
        plan = open_store(address).info.plan
        if not (_is_recipe(plan, recipe) if simulated else plan.source.name == data):
            wanted = f"the recipe {recipe}" if simulated else f"a store of {data}"
            raise StoreError(sentence(wanted, f"other data of {plan.source.name}", address, "use another workspace"))
        progress.say(f"{address} is there already")
        return address
    if simulated:
        return simulate(recipe=recipe, out=name, device=device, workers=workers, workspace=space)
    return ingest(data, root, name, workers=workers, workspace=space)


def _is_recipe(plan: StorePlan, recipe: str) -> bool:
    """Whether a store was rendered by a recipe, on whatever device."""
    named = get_recipe(recipe)
    rendered = [plan.settings.get("simulator"), plan.settings.get("count"), plan.source.hash]
    return digest(rendered) == digest([named.settings, named.count, str(named.version)])
