"""The tracer for a GPU, mostly without one: kernels run in numba's simulator, and are compiled for a real GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from typer.testing import CliRunner

from handsynth.cli import app
from handsynth.errors import StoreError, UsageError
from handsynth.hand.camera import Camera
from handsynth.hand.sample import HandSample
from handsynth.runtime.seeds import rng
from handsynth.simulator import (
    cloth,
    complexion,
    environment,
    field,
    light,
    paint,
    relief,
    render,
    simulate,
    stretched,
    trace,
)
from handsynth.simulator.cloth import draw_cloth
from handsynth.simulator.cones import Sleeve
from handsynth.simulator.looks import Looks
from handsynth.simulator.skin import draw_skin
from handsynth.simulator.surface import Surface
from handsynth.stages.rerender import StoredPoses, rendered, stored_poses, with_people
from handsynth.stages.simulate import simulate as simulate_stage
from handsynth.store.write import Reject
from tests.simulator.scenes import drawn, small
from tests.simulator.test_samples import equal
from tests.stores import make_store

NEAR = 1e-9
"""How far numbers of GPU and CPU may lie apart, mm: a GPU adds products without rounding them first. Such arithmetic on
a CPU moved 203,415 pixels of 40 hands by 1e-11 mm at most, and none over a silhouette or a part's edge; it moved linear
colours of 64 pictures by 2e-12 at most."""
BENT = Camera(15.0, 15.5, 7.5, 8.3, 15, 17, (-0.25, 0.05, 0.002, -0.001, 0.01))


def pairs() -> tuple[list[Surface], list[Camera]]:
    """Two hands before cameras of one size, before a distorted one that cuts blocks, and out of the picture."""
    (_, one, camera), (_, other, second) = drawn(0, size=16), drawn(1, size=16)
    return [one, other, one, other, other], [camera, second, BENT, replace(camera, cx=-900.0), replace(BENT, cx=900.0)]


def sitting(surfaces: list[Surface], cameras: list[Camera]) -> list[paint.Sitter]:
    """Hands in all their colours: in sleeves, shaded by others and not, under one lamp and two, and without paint."""
    hairy = [draw_skin(rng(number, "skin"), (-20, 20), hairy=1.0, polish=number % 2) for number in range(2)]
    single = environment.fixed_light()
    double = replace(single, lamps=(*single.lamps, environment.Lamp(np.array([0.6, 0.0, -0.8]), np.ones(3), 0.1)))
    sleeves = [draw_cloth(rng(number, "cloth")) for number in range(2)]
    first = paint.Paint(hairy[0], replace(sleeves[0], stripe_mm=7.0), double, True)
    second = paint.Paint(hairy[1], sleeves[1], single, True)
    dressed = [Surface.of(replace(surface.cones, sleeve=Sleeve(15.0, 4.0))) for surface in surfaces]
    both = light.blockers(dressed[:2])
    return [
        paint.Sitter(dressed[0], cameras[0], both, first),
        paint.Sitter(surfaces[1], cameras[1], light.blockers(surfaces[1:2]), second),
        paint.Sitter(dressed[2], cameras[2], light.blockers(dressed[2:3]), replace(second, shadows=False)),
        paint.Sitter(surfaces[3], cameras[3], both, first),
        paint.Sitter(surfaces[4], cameras[4], both, second),
        paint.Sitter(surfaces[0], cameras[0], both, None),
    ]


def stored(folder: Path) -> StoredPoses:
    """Four hands of two people in a store; nobody knows the side of one."""
    samples = list(simulate(small(size=16, subjects=2), 0, 4))
    samples[2] = replace(samples[2], side="unknown")
    return with_people(
        stored_poses(make_store(folder / "stores" / "hands", samples, size=16), "subject", None), 1, None
    )


def compare_with_the_cpu(folder: Path, simulated: bool) -> None:
    """Every use of the GPU against the CPU; numba's simulator makes no difference at all."""
    from handsynth.simulator import cuda

    surfaces, cameras = pairs()
    sitters = sitting(surfaces, cameras)
    expected = [trace.trace(surface, camera) for surface, camera in zip(surfaces, cameras, strict=True)]
    layers = [paint.painted(sitter) for sitter in sitters]
    settings = small(size=16, side="both")
    samples = list(simulate(settings, 0, 2))
    given, fitted = stored(folder), small(size=16, depth_sensor="structured_light")
    posed = list(rendered(given, fitted))
    # What else the CPU compiles, before its parts are taken away.
    list(simulate(small(size=16, looks=Looks(held=1.0, occluders=1.0)), 0, 2))
    if simulated:
        # It gives kernels arrays of its own, which compiled functions do not take.
        for module in (field, trace, light, relief, stretched, cloth, complexion, environment, render):
            for name, function in list(vars(module).items()):
                setattr(module, name, getattr(function, "py_func", function))
        cuda._MOST_PIXELS = 600  # the three pictures of 16 x 16 px take two launches
    near = 0.0 if simulated else NEAR
    again = cuda.paint_batch(sitters)
    assert [len(layer.rows) for layer in again][3:5] == [0, 0]
    for layer, right in zip(again, layers, strict=True):
        for column in fields(layer):
            ours, theirs = getattr(layer, column.name), getattr(right, column.name)
            assert (ours is None) == (theirs is None)
            if ours is not None:
                assert ours.dtype == theirs.dtype
                np.testing.assert_allclose(ours, theirs, rtol=0, atol=near, err_msg=column.name)
    depth, parts = (image.copy_to_host() for image in cuda.depth_and_parts(surfaces[:2], cameras[:2]))
    for number in range(2):
        np.testing.assert_allclose(depth[number], expected[number].depth_mm(16, 16), rtol=1e-7)
        assert np.array_equal(parts[number], expected[number].mask(16, 16))
    with pytest.raises(UsageError, match="cameras of one size, found 2 sizes"):
        cuda.depth_and_parts(surfaces, cameras)
    samples_again = list(simulate(settings, 0, 2, "cuda"))
    assert len(samples_again) == len(samples) == 4
    if simulated:
        assert all(equal(one, other) for one, other in zip(samples_again, samples, strict=True))
    with patch.object(cuda, "paint_batch", wraps=cuda.paint_batch) as launches:
        posed_again = list(rendered(given, fitted, "cuda"))
    assert [len(call.args[0]) for call in launches.call_args_list] == [3]  # the hands of all people together
    assert [type(item) for item in posed_again] == [HandSample, HandSample, Reject, HandSample]
    if simulated:
        assert all(item == other or equal(item, other) for item, other in zip(posed_again, posed, strict=True))
    for chosen in ({"size": 16}, {"poses": "hands"}):
        arguments: dict[str, Any] = {"count": 1, "workers": 1, "workspace": folder} | chosen
        simulate_stage(device="auto", **arguments)
        simulate_stage(device="cuda", **arguments)
        with pytest.raises(StoreError):  # bytes of a CPU would be others
            simulate_stage(device="cpu", **arguments)


def compile_for_sm_90() -> None:
    """Types and lowers all kernels; where a CUDA toolkit is installed, compiles them down to PTX."""
    from numba import types
    from numba.cuda import compile_ptx, dispatcher
    from numba.cuda.compiler import compile_cuda
    from numba.cuda.cuda_paths import get_cuda_paths
    from numba.cuda.cudadrv import nvvm

    from handsynth.simulator import cuda_kernels

    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=(9, 0))
    toolkit = nvvm.is_available() and get_cuda_paths()["libdevice"].info
    if not toolkit:
        # What lowering asks the library for.
        layout = "e-p:64:64:64-i64:64-i128:128-v16:16-v32:32-n16:32:64"
        nvvm.NVVM = lambda: SimpleNamespace(data_layout=layout, get_ir_version=lambda: (2, 0, 3, 1))
    one, two, three, four = (types.Array(types.float64, ndim, "C") for ndim in (1, 2, 3, 4))
    batch = (three, two, four, *(types.int64,) * 3)
    texture, whole = four.copy(dtype=types.float32), types.int64
    points = (two, one.copy(dtype=whole), two.copy(dtype=whole))
    for kernel, arguments in (
        (cuda_kernels.describe, (*batch, one, one.copy(dtype=types.uint8), two)),
        (cuda_kernels.depth_and_parts, (*batch, three.copy(dtype=types.float32), three.copy(dtype=types.uint8))),
        (
            cuda_kernels.color,
            (*points, three, three, two, texture, two, texture, three, three, two.copy(dtype=whole), two),
        ),
    ):
        if toolkit:
            ptx, _ = compile_ptx(kernel.py_func, arguments, cc=(9, 0))
            assert ".target sm_90" in ptx
        else:
            assert compile_cuda(kernel.py_func, types.void, arguments, cc=(9, 0)).signature is not None


def apart(call: str, **environment: str) -> None:
    """Run a call of this module to its end in a process of its own.

    On a crowded machine the process was aborted twice ("terminate called without an active exception"), by a thread of
    some library and as far as one can tell while it ended: what counts is that the call came to its end.
    """
    code = f"import tests.simulator.test_cuda as t; from pathlib import Path; t.{call}; print('done', flush=True)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, timeout=200
    )
    assert done.stdout.endswith("done\n"), f"{done.returncode}: {done.stderr}"


def test_kernels_agree_with_the_cpu_in_numba_s_simulator(tmp_path: Path) -> None:
    apart(f"compare_with_the_cpu(Path({str(tmp_path)!r}), True)", NUMBA_ENABLE_CUDASIM="1")


def test_kernels_compile_for_a_gpu_that_is_not_here() -> None:
    apart("compile_for_sm_90()")


def test_a_gpu_agrees_with_the_cpu(tmp_path: Path) -> None:
    from handsynth.simulator.cuda import is_available

    if not is_available():
        pytest.skip("numba finds no GPU")
    compare_with_the_cpu(tmp_path, False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device", "cuda"], "expected a CUDA GPU and a CUDA toolkit (libnvvm, see CUDA_HOME) that numba can use"),
        (["--device", "gpu"], "expected auto, cpu or cuda, found 'gpu' in --device"),
    ],
)
def test_a_missing_gpu_is_one_sentence(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handsynth.simulator.cuda.is_available", lambda: False)
    result = CliRunner().invoke(app, ["simulate", "--workspace", str(tmp_path), *arguments])
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match="a CUDA GPU"):
        next(simulate(small(), 0, 1, "cuda"))


def test_users_of_the_cpu_do_not_wait_for_numba_s_cuda() -> None:
    code = (
        "import sys, handsynth.cli, handsynth.stages.simulate\n"
        "from handsynth.simulator import SimulatorSettings, simulate\n"
        "next(simulate(SimulatorSettings(size=16), 0, 1))\n"
        "assert 'numba.cuda' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
