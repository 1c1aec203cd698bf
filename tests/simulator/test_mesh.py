from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from handsynth.errors import UsageError
from handsynth.hand.joints import OTHER_BODY, PALM_PART
from handsynth.simulator.mesh import ENDINGS, Mesh, hand_mesh, part_colors, write_mesh
from handsynth.simulator.trace import trace
from tests.simulator.rasterise import triangle_depth_mm
from tests.simulator.scenes import drawn


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return hand_mesh(drawn(0)[1], spacing_mm=1.5)


def test_the_mesh_lies_on_the_skin_closed_and_facing_out(mesh: Mesh) -> None:
    _, surface, _ = drawn(0)
    cut = (mesh.parts == OTHER_BODY) & (np.abs(surface.level(mesh.vertices_mm)) > 0.3)
    assert cut.mean() < 0.05  # the end of the arm
    off = np.abs(surface.level(mesh.vertices_mm[~cut]))
    assert off.mean() < 0.02
    assert np.quantile(off, 0.999) < 0.3  # at folds the grid cuts corners
    body = trimesh.Trimesh(mesh.vertices_mm, mesh.faces, process=False)
    assert body.is_watertight
    assert body.volume > 0
    assert 150e3 < body.volume < 900e3  # mm^3: 0.15 to 0.9 l of hand and some arm
    assert ((body.vertex_normals * mesh.normals).sum(-1) > 0.5).mean() > 0.97
    assert set(np.unique(mesh.parts)) == set(range(PALM_PART, OTHER_BODY + 1))


@pytest.mark.parametrize("index", range(2))
def test_depth_of_the_triangles_is_the_traced_depth(index: int) -> None:
    _, surface, camera = drawn(index, size=80)
    mesh = hand_mesh(surface, spacing_mm=1.2, arm_mm=300.0)
    drawn_mm = triangle_depth_mm(camera, mesh.vertices_mm, mesh.faces)
    traced_mm = trace(surface, camera).depth_mm(camera.height, camera.width)
    assert (np.isfinite(drawn_mm) == np.isfinite(traced_mm)).mean() > 0.99
    both = np.isfinite(drawn_mm) & np.isfinite(traced_mm)
    apart = np.abs(drawn_mm - traced_mm)[both]
    assert np.median(apart) < 0.05
    assert np.quantile(apart, 0.9) < 0.3  # steep flanks turn the grid's error into depth


def test_finer_grids_come_nearer_to_the_traced_depth() -> None:
    _, surface, camera = drawn(0)
    traced = trace(surface, camera).depth_mm(camera.height, camera.width)
    errors = []
    for spacing in (4.0, 2.0):
        mesh = hand_mesh(surface, spacing, arm_mm=300.0)
        errors.append(np.nanmedian(np.abs(triangle_depth_mm(camera, mesh.vertices_mm, mesh.faces) - traced)))
    assert errors[1] < 0.6 * errors[0]


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_read_back(ending: str, tmp_path: Path) -> None:
    _, surface, _ = drawn(0)
    small = hand_mesh(surface, spacing_mm=4.0)
    read = trimesh.load(write_mesh(small, tmp_path / "deep" / f"hand{ending}"), force="mesh", process=False)
    assert isinstance(read, trimesh.Trimesh)
    assert len(read.faces) == len(small.faces)
    np.testing.assert_allclose(read.bounds, [small.vertices_mm.min(0), small.vertices_mm.max(0)], atol=1e-3)
    if ending in (".ply", ".glb"):
        assert np.array_equal(read.visual.vertex_colors, part_colors(small.parts))  # type: ignore[union-attr]


def test_wrong_wishes_are_refused(mesh: Mesh, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="spacing"):
        hand_mesh(drawn(0)[1], spacing_mm=0)
    with pytest.raises(UsageError, match="ending"):
        write_mesh(mesh, tmp_path / "hand.doc")
