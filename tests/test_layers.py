"""A module imports lower layers only, nothing beside its own folder on its own layer, and nothing heavy too early."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "handsynth"
LAYERS = {
    "errors": 0,
    "hand": 1,
    "runtime": 1,
    "imaging": 2,
    "networks": 2,
    "poseindex": 2,
    "formats": 3,
    "simulator": 3,
    "store": 3,
    "conditioning": 3,
    "metrics": 3,
    "doctor": 4,
    "training": 4,
    "generators": 5,
    "estimators": 5,
    "reports": 5,
    "stages": 6,
    "command": 7,
    "cli": 8,
}
HEAVY = {"torch", "dask", "distributed", "cv2", "zarr", "pyarrow", "pandas", "scipy", "matplotlib", "lightning_fabric"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Absolute names of all modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if parts == ("__init__",):
        return
    folder = parts[0]
    for name in imports(path):
        if not name.startswith("handsynth."):
            continue
        other = name.split(".")[1]
        below = LAYERS[other] < LAYERS[folder]
        assert below or other == folder, f"{path.name} ({folder}) imports {name}"


def test_every_folder_has_a_layer() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and (path / "__init__.py").is_file()}
    assert folders <= set(LAYERS)


@pytest.mark.parametrize("statement", ["import handsynth", "import handsynth.cli", "import handsynth.hand.sample"])
def test_nothing_heavy_is_imported(statement: str) -> None:
    code = f"{statement}; import sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not HEAVY & set(loaded)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom handsynth.cli import app\n"
        "result = CliRunner().invoke(app, ['train', '--help'])\nassert result.exit_code == 0, result.output\n"
        "print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not HEAVY & set(loaded)
