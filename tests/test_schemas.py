"""``schemas/`` holds the JSON Schemas of everything on disk, equal to the types; ``make schemas`` writes them anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from handsynth.estimators import estimator_names
from handsynth.formats import format_names, get_format
from handsynth.formats.manifest import Manifest
from handsynth.generators import generator_names
from handsynth.runtime.ledger import ShardRecord
from handsynth.runtime.settings import json_schema
from handsynth.simulator import SimulatorSettings
from handsynth.stages.index import IndexInfo
from handsynth.stages.reduction import Reduction
from handsynth.stages.systems import system_kind
from handsynth.store.schema import StoreInfo
from handsynth.training.checkpoints import CheckpointInfo
from handsynth.training.run import Evaluation, RunInfo

FOLDER = Path(__file__).parents[1] / "schemas"
TYPES = {
    "checkpoint": CheckpointInfo,
    "evaluation": Evaluation,
    "index": IndexInfo,
    "ledger": ShardRecord,
    "manifest": Manifest,
    "reduction": Reduction,
    "run": RunInfo,
    "store": StoreInfo,
    "settings-simulator": SimulatorSettings,
    **{
        f"settings-{name}": type(system_kind(name).presets["paper"])
        for name in (*generator_names(), *estimator_names())
    },
    **{f"options-{name}": get_format(name).options_type for name in format_names()},
}


def spelled(kind: type) -> str:
    return json.dumps(json_schema(kind), indent=2, sort_keys=True) + "\n"


@pytest.mark.parametrize("name", TYPES)
def test_the_schema_on_disk_is_the_type_s(name: str) -> None:
    assert (FOLDER / f"{name}.schema.json").read_text() == spelled(TYPES[name]), "run make schemas"


def test_no_schema_is_left_over() -> None:
    assert {path.name for path in FOLDER.glob("*.json")} == {f"{name}.schema.json" for name in TYPES}


if __name__ == "__main__":
    for name, kind in TYPES.items():
        (FOLDER / f"{name}.schema.json").write_text(spelled(kind))
