"""Scores of generated images: with and without a judge and Inception weights, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from handsynth.errors import MissingError, UsageError
from handsynth.metrics.protocol import relative_depth
from handsynth.runtime.settings import parse
from handsynth.stages import image_scores
from handsynth.stages.augment import augment
from handsynth.stages.curriculum import curriculum
from handsynth.stages.evaluate import evaluate
from handsynth.stages.judge import load_judge
from handsynth.stages.report import report
from handsynth.stages.train import train
from handsynth.stages.workspace import Workspace
from handsynth.training.batches import Hands
from handsynth.training.run import Evaluation, Scores
from handsynth.training.splits import split_store
from handsynth.training.system import HandBatch, Prediction
from tests.stages.small import ESTIMATOR, GENERATOR, STEPS, make_workspace

PIXELS = {"l1", "hand_l1", "psnr_db", "ssim_zero", "ssim_valid", "mask_ssim"}
JUDGED = {"fidelity_epe_mm", "auc_0_30px", "pckb"}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A generator and a judge of another image size, both trained for a moment."""
    space = make_workspace(tmp_path_factory.mktemp("images"))
    augmented = augment("hands", alpha=0.5, steps=STEPS, settings=GENERATOR, workers=1, workspace=space)
    larger = [*ESTIMATOR, "size=48"]
    train("hpm3d", "hands", steps=STEPS, settings=larger, name="judge", workspace=space)
    train("hpm3d", "hands", alpha=0.5, steps=STEPS, settings=ESTIMATOR, name="reduced", workspace=space)
    train("hpm3d", "hands", alpha=0.5, add=augmented, steps=1, settings=ESTIMATOR, name="added", workspace=space)
    train("hpm3d", "hands", alpha=0.5, start="added", steps=1, settings=ESTIMATOR, name="after", workspace=space)
    return space


def scored(space: Workspace, **options: str) -> Evaluation:
    path = evaluate("hands-mmhand-0.5", workspace=space, **options)  # type: ignore[arg-type]
    return parse(path.read_bytes(), Evaluation, path)


def named(evaluation: Evaluation) -> dict[str, Scores]:
    return {row.name: row for row in evaluation.rows}


def test_without_judge_and_weights_the_protocol_says_what_is_missing(space: Workspace) -> None:
    evaluation = scored(space)
    assert [row.name for row in evaluation.rows] == ["mmhand", "copy of the source"]
    for row in evaluation.rows:
        assert set(row.values) == PIXELS == set(evaluation.better)
    assert "IS and FID not computed" in evaluation.protocol
    assert "pose fidelity, PCKb and Frechet distance not computed" in evaluation.protocol


def test_an_infinite_score_is_left_out_of_a_record_that_reads(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_scores, "psnr", lambda images, truth: np.full(len(images), np.inf))
    evaluation = scored(space)
    for row in evaluation.rows:
        assert set(row.values) == PIXELS - {"psnr_db"} == set(evaluation.better)
    assert "PSNR left out where an image is the real one" in evaluation.protocol


def test_generated_images_are_nothing_to_score_against(space: Workspace) -> None:
    for stage in (evaluate, curriculum):
        with pytest.raises(UsageError, match=r"found an augmented one in .*hands-0\.5-mmhand"):
            stage("hands-mmhand-0.5", "hands-0.5-mmhand", workspace=space)


def test_a_judge_adds_its_scores_beside_those_of_real_images(space: Workspace) -> None:
    evaluation = scored(space, judge="judge")
    rows = named(evaluation)
    assert list(rows) == ["mmhand", "copy of the source", "real image (oracle)"]
    for name in ("mmhand", "copy of the source"):
        assert set(rows[name].values) == PIXELS | JUDGED | {"frechet_hpm3d"} == set(evaluation.better)
    assert set(rows["real image (oracle)"].values) == JUDGED
    assert rows["real image (oracle)"].trivial
    assert evaluation.better["frechet_hpm3d"] == evaluation.better["fidelity_epe_mm"] == "lower"
    assert rows["mmhand"].values["frechet_hpm3d"] > 0
    assert "hpm3d (tiny, 3 steps, weights " in evaluation.protocol
    assert "on all of hands (24 samples), all of the real images of these poses among them" in evaluation.protocol
    assert scored(space, judge="judge") == evaluation
    page = report(workspace=space).read_text()
    for header in ("PCKb", "Fidelity EPE (mm)", "Frechet hpm3d", "Mask SSIM", "real image (oracle)"):
        assert header in page


def test_a_judge_of_the_reduced_set_has_not_seen_the_held_out_images(space: Workspace) -> None:
    assert "none of the real images of these poses among them" in scored(space, judge="reduced").protocol


def test_a_judge_knows_real_images_and_sees_what_is_wrong_with_others(space: Workspace) -> None:
    """Real images in their own order are at no distance; in another order they are the same cloud of other poses."""
    store = space.store("hands")
    slots = split_store(store, 0.5, 0, False).held_out
    judge = load_judge(space, "judge", store, slots, CPU)
    images = Hands(store, slots, 32).images(np.arange(len(slots))).astype(np.float32) / 255
    real, turned = judge.look(images), judge.look(images[::-1].copy())
    assert judge.scores(real, real)["frechet_hpm3d"] == pytest.approx(0, abs=1e-9)
    assert judge.scores(turned, real)["frechet_hpm3d"] == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(turned.features, real.features[::-1], atol=1e-6)
    assert not np.array_equal(turned.errors_px, real.errors_px)
    assert real.errors_px.shape == real.errors_mm.shape == (len(slots), 21)
    # Pixels are those of a 256 px crop, whatever the sizes of store, generator and judge.
    truth = (store.column("keypoints_px", slots) + 0.5) * 256 / store.info.plan.size - 0.5
    np.testing.assert_allclose(real.truth_px, truth, atol=1e-3)


def test_a_judge_that_says_the_truth_finds_no_error(space: Workspace) -> None:
    store = space.store("hands")
    slots = split_store(store, 0.5, 0, False).held_out
    judge = load_judge(space, "judge", store, slots, CPU)
    batches = []

    class Knowing:
        name = "knowing"
        settings = judge.system.settings

        def predict(self, batch: HandBatch) -> Prediction:
            assert batch.rgb is not None
            batches.append(batch.rgb.shape)
            depth = torch.from_numpy(relative_depth(batch.joints_mm.numpy()))
            return Prediction(batch.keypoints_px, depth)

        def features(self, batch: HandBatch) -> Tensor:
            assert batch.rgb is not None
            return batch.rgb.mean((2, 3))

    judge.system = Knowing()
    said = judge.look(np.zeros((len(slots), 32, 32, 3), dtype=np.float32))
    assert batches == [(len(slots), 3, 48, 48)]
    values = judge.scores(said, None)
    assert values["fidelity_epe_mm"] == pytest.approx(0, abs=0.01)
    assert values["pckb"] == values["auc_0_30px"] == 1


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"judge": "hands-mmhand-0.5"}, UsageError, "an estimator's run, found that of the generator mmhand"),
        ({"judge": "added"}, UsageError, "a judge that saw no generated image"),
        ({"judge": "after"}, UsageError, "a judge that saw no generated image in training, found added"),
        ({"judge": "nosuch"}, MissingError, "a run named nosuch"),
        ({"inception": "nosuch.pth", "inception_sha256": "0cc3c7bd"}, MissingError, "Inception v3 of torchvision"),
        ({"inception": "nosuch.pth", "inception_sha256": "zz"}, UsageError, "8 hex digits of sha256"),
        ({"inception": "nosuch.pth"}, UsageError, "--inception-sha256 beside --inception, found none"),
        ({"inception_sha256": "0cc3c7bd"}, UsageError, "--inception beside"),
    ],
)
def test_what_cannot_judge_is_refused(
    space: Workspace, options: dict[str, str], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        scored(space, **options)


def test_an_estimators_run_needs_no_judge(space: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a generator's run beside --judge"):
        evaluate("reduced", judge="judge", workspace=space)
    with pytest.raises(UsageError, match="beside --inception, found a file of predicted joints"):
        evaluate(str(tmp_path / "x.parquet"), "hands", inception="x", inception_sha256="0" * 8, workspace=space)


def test_inception_weights_add_their_scores(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(4.0))

        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            colour = self.scale * images.mean((2, 3))
            return colour, colour

    monkeypatch.setattr(image_scores, "load_inception", lambda file: (Small(), "by a small network"))
    evaluation = scored(space, inception="any", inception_sha256="0" * 8)
    rows = named(evaluation)
    assert set(rows["mmhand"].values) == PIXELS | {"is", "mask_is", "fid", "mask_fid"} == set(evaluation.better)
    assert set(rows["real image (oracle)"].values) == {"is", "mask_is"}
    assert 1 <= rows["mmhand"].values["is"] <= 3
    assert rows["mmhand"].values["fid"] != rows["mmhand"].values["mask_fid"]
    assert "by a small network" in evaluation.protocol
    scored(space)  # leaves the workspace's record as the other tests find it
