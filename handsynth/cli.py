"""The command line. No logic: a command is a signature and a help text; it calls the stage of the same parameters."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

from handsynth.command import (
    FLOW,
    MORE,
    STORES,
    Argument,
    Assignments,
    Compile,
    CompileAll,
    Contiguous,
    DeviceName,
    DryRun,
    FormatName,
    Option,
    Overwrite,
    Preset,
    Scheduler,
    Seed,
    Steps,
    StoreName,
    Workers,
    Yes,
    app,
    command,
)  # fmt: skip


# fmt: off
@command("simulate:simulate", FLOW)
def simulate(
    count: Annotated[int | None, Option(help="Moments to render; 100, or with --poses all by default.")] = None,
    as_: Annotated[str | None, Option("--as", metavar="FORMAT", help="Write raw files in this layout.")] = None,
    out: Annotated[str | None, Option(help="Where to; by default stores/sim, or data/FORMAT.")] = None,
    size: Annotated[int | None, Option(help="Side of the store's images in px; 256 by default.")] = None,
    seed: Seed = 0,
    poses: Annotated[str | None, Option(metavar="STORE", help="Render the poses of this store; see above.")] = None,
    person: Annotated[str, Option(help="With --poses, one hand per subject or per frame.")] = "subject",
    recipe: Annotated[str | None, Option(help="Render a benchmark: bench-v1, or bench-v1-mini.")] = None,
    device: Annotated[str, Option(help="auto, cpu or cuda; with --scheduler, auto is the CPU.")] = "auto",
    settings: Assignments = [],
    workers: Workers = None,
    scheduler: Scheduler = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
) -> None:
    """Render hands with exact joints, depth and masks: a store, or raw files of a dataset.

    `handsynth simulate --count 200 --as rhd` writes data/rhd as its publisher would. Rendered images wait in
    data/.rhd.unfinished until the folder is whole, some 0.6 MB for each of 640 x 480 px; after a stop the same command
    goes on from them.

    `--poses STORE`: the simulator's hand is fitted to the labelled joints of each sample and rendered before its camera
    and under its name, so that the new store pairs with the old one; says how far the joints lie from the given ones.
    """


@command("ingest:ingest", FLOW)
def ingest(
    name: Annotated[str, Argument(help="Dataset; see: handsynth datasets.")],
    root: Annotated[Path | None, Argument(help="Folder of its raw files; data/NAME by default.")] = None,
    store: Annotated[str | None, Option(help="Store to write; NAME by default.")] = None,
    size: Annotated[int, Option(help="Side of the square crops in px.")] = 256,
    margin: Annotated[float, Option(help="Room around the joints, as a share of their extent.")] = 0.25,
    root_joint: Annotated[str, Option("--root", help="wrist or palm: which point joint 0 is; see above.")] = "wrist",
    side: Annotated[str | None, Option(help="left or right: mirror the other hands; see above.")] = None,
    codec: Annotated[str, Option(help="raw (read at memory speed) or zstd.")] = "raw",
    limit: Annotated[int | None, Option(help="Take the first N samples only.")] = None,
    settings: Assignments = [],
    workers: Workers = None,
    scheduler: Scheduler = None,
    overwrite: Overwrite = False,
    accept: Annotated[bool, Option("--accept", help="Take a source whose checks fail.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Turn a dataset's raw folder into a store; checks it on the way in.

    `handsynth ingest ge_realworld ~/ge/real_world_testset`

    `--root palm`: joint 0 is the palm centre, the source's own or, marked as derived, half way from ring MCP to wrist;
    the store records the formula. `--side right`: left hands are mirrored, image, joints and camera together, and
    marked. `--dry-run` says how much would be read, how long it takes and how large the store will be.
    """


@command("index:index", FLOW)
def index(store: StoreName = None, overwrite: Overwrite = False) -> None:
    """Compute pose identities, nearest neighbours and the histogram of pose distances of a store."""


@command("augment:augment", FLOW)
def augment(
    store: StoreName = None,
    alpha: Annotated[float, Option(help="Share of the training split that is the reduced set, between 0 and 1.")] = 0.4,
    generator: Annotated[str, Option(help="mmhand, patn, pg2, posegan, pix2pix, cyclegan or simulator.")] = "mmhand",
    run: Annotated[str | None, Option(metavar="RUN", help="Use this trained run of it as it is.")] = None,
    preset: Preset = None,
    steps: Steps = None,
    count: Annotated[int | None, Option(help="Images to make; by default one for every held-out pose.")] = None,
    match: Annotated[str, Option(help="Whose look a pose gets: nearest or random of the reduced set.")] = "nearest",
    depth: Annotated[str, Option(help="Of its training: capsules, simulator or a RUN that makes depth.")] = "capsules",
    guide: Annotated[str | None, Option(metavar="RUN", help="Of its training: estimator of the pose loss.")] = None,
    judge: Annotated[str | None, Option(metavar="RUN", help="Estimator that scores every image; see above.")] = None,
    most_mm: Annotated[float | None, Option(metavar="MM", help="Largest pose error it keeps; 40 by default.")] = None,
    seed: Seed = 0,
    contiguous: Contiguous = False,
    device: DeviceName = "auto",
    precision: Annotated[str, Option(help="float32, bf16, or auto: bf16 on a GPU, float32 on a CPU.")] = "auto",
    compile: Compile = "auto",
    settings: Assignments = [],
    workers: Workers = None,
    scheduler: Scheduler = None,
    overwrite: Overwrite = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Make images in the poses that a reduced set lacks: store NAME-ALPHA-GENERATOR.

    Trains the generator first where no fitting run exists. Sources and training pixels come from the reduced set
    only; held-out samples lend their joints and camera alone.

    `--judge RUN`: an estimator trained on the same reduced set says how far each image is from the pose it was made
    for. Images over `--most-mm` stay in the store, marked, and join no training.
    """


@command("train:train", FLOW)
def train(
    system: Annotated[str, Argument(help="Estimator or generator: hpm3d, mmhand, ...")],
    store: StoreName = None,
    alpha: Annotated[float, Option(help="Share of the training split to train on, above 0 and up to 1.")] = 1.0,
    add: Annotated[str | None, Option(help="Augmented or simulated store whose samples join.")] = None,
    preset: Preset = None,
    steps: Steps = None,
    seed: Seed = 0,
    weights_seed: Annotated[int | None, Option(help="Of weights and order; that of --seed by default.")] = None,
    contiguous: Contiguous = False,
    start: Annotated[str | None, Option(metavar="RUN", help="Begin with the weights of this trained run.")] = None,
    depth: Annotated[str, Option(help="What makes mmhand's depth maps: capsules, simulator or a RUN.")] = "capsules",
    guide: Annotated[str | None, Option(metavar="RUN", help="Estimator of mmhand's pose loss.")] = None,
    device: DeviceName = "auto",
    precision: Annotated[str, Option(help="float32, bf16, or auto: bf16 on a GPU, float32 on a CPU.")] = "auto",
    compile: Compile = "auto",
    settings: Assignments = [],
    name: Annotated[str | None, Option(help="Run to write; made from store, system and alpha by default.")] = None,
    overwrite: Overwrite = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Train a system on a store, the whole training split or a reduced set: one run folder.

    `handsynth train hpm3d --alpha 0.4 --add ge_realworld-0.4-mmhand`

    `handsynth train hpm3d stb --alpha 0.2 --start sim-hpm3d` learns from many simulated hands first, then from few.
    """


@command("evaluate:evaluate", FLOW)
def evaluate(
    run: Annotated[str | None, Argument(metavar="RUN", help="Run, or a Parquet file of predictions.")] = None,
    store: Annotated[str | None, Argument(metavar="STORE", help="Store to score on; by default the run's.")] = None,
    split: Annotated[str | None, Option(help="test, or held-out: training moments outside the reduced set.")] = None,
    device: DeviceName = "auto",
    judge: Annotated[str | None, Option(metavar="RUN", help="Estimator that judges a generator's images.")] = None,
    inception: Annotated[str | None, Option(metavar="FILE", help="torchvision's Inception v3, for IS and FID.")] = None,
    inception_sha256: Annotated[str | None, Option(metavar="HEX", help="Checksum of that file.")] = None,
    tta: Annotated[bool, Option("--tta", help="Ask an estimator about turned copies of each image too.")] = False,
) -> None:
    """Score a run beside trivial baselines, with the protocol of every number.

    `handsynth evaluate hands-mmhand-0.4 --judge hands-hpm3d`: whether generated hands have the pose they were made for.
    """


@command("report:report", FLOW)
def report(
    runs: Annotated[list[str] | None, Argument(metavar="RUN...", help="Runs or stores; all by default.")] = None,
    out: Annotated[Path | None, Option(help="HTML file to write; runs/report.html by default.")] = None,
) -> None:
    """Write one HTML page: tables beside trivial baselines, curves, histograms, contact sheets."""


@command("datasets:datasets", STORES)
def datasets(
    name: Annotated[str | None, Argument(help="Dataset to read about.")] = None,
    root: Annotated[Path | None, Argument(help="Folder to look at for what is there; data/NAME by default.")] = None,
) -> None:
    """List the datasets handsynth reads, or tell all about one: what to download, where to put it, what is missing."""


@command("info:info", STORES)
def info(store: StoreName = None) -> None:
    """Summarise a store."""


@command("verify:verify", STORES)
def verify(
    store: StoreName = None,
    out: Annotated[Path | None, Option(help="HTML page to write; runs/STORE-doctor.html by default.")] = None,
    page: Annotated[bool, Option("--page/--no-page", help="Write the page with the worst samples' pictures.")] = True,
) -> None:
    """Check every byte of a store, and whether its labels agree with each other and with its images.

    Says what mistake explains a fault, as far as one does; exits with 1 where anything is at fault.
    """


@command("view:view", STORES)
def view(
    store: StoreName = None,
    out: Annotated[Path | None, Option(help="PNG, JPEG or HTML file to write.")] = None,
    count: Annotated[int, Option(help="Samples to show.")] = 24,
    seed: Seed = 0,
    gallery: Annotated[bool, Option("--gallery", help="Pictures without skeletons, depth and masks small.")] = False,
) -> None:
    """Draw a contact sheet of a store with skeletons over the images, or a gallery of the images alone."""


@command("export:export", STORES)
def export(
    store: StoreName = None,
    as_: FormatName = "ge_realworld",
    out: Annotated[Path | None, Option(help="Folder to write; data/STORE-FORMAT by default.")] = None,
    settings: Assignments = [],
) -> None:
    """Write a store's samples in a dataset's own layout, for downstream trainers; say what it cannot hold.

    `handsynth export sim --as coco`
    """


@command("convert:convert", STORES)
def convert(
    name: Annotated[str, Argument(help="Dataset that is read.")],
    root: Annotated[Path, Argument(help="Folder of its raw files.")],
    as_: FormatName,
    out: Annotated[Path | None, Option(help="Folder to write; data/NAME-FORMAT by default.")] = None,
    limit: Annotated[int | None, Option(help="Take the first N samples only.")] = None,
    settings: Assignments = [],
    as_settings: Annotated[list[str], Option("--as-set", metavar="KEY=VALUE", help="The same for FORMAT.")] = [],
    dry_run: DryRun = False,
) -> None:
    """Rewrite raw files of one dataset in the layout of another, sample by sample; say what it cannot hold.

    `handsynth convert rhd ~/RHD_published_v2 --as coco --out rhd-coco`
    """


@command("migrate:migrate", STORES)
def migrate(store: Annotated[str, Argument(help="Store name or path.")]) -> None:
    """Bring a store of an older format version to the current one."""


@command("convert_weights:convert_weights", MORE)
def convert_weights(
    system: Annotated[str, Argument(help="mmhand or patn.")],
    file: Annotated[Path, Argument(help="The authors' EPOCH_net_netG.pth; critics are looked for beside it.")],
    name: Annotated[str | None, Option(help="Run to write; SYSTEM-published by default.")] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Take the place of another run of that name.")] = False,
) -> None:
    """Turn weights that a generator's authors trained into a run, to evaluate, to augment with and to start from.

    `handsynth convert-weights mmhand latest_net_netG.pth`, then `handsynth evaluate mmhand-published STORE`

    Nothing in the file is run. What the authors trained on is not known: numbers made with such a run may leak.
    """


@command("reduce:reduce", MORE)
def reduce(
    store: StoreName = None,
    alphas: Annotated[list[float], Option("--alpha", help="Share of the training split; repeatable.")] = [0.2, 0.4],
    generators: Annotated[list[str], Option("--generator", help="none, or one of augment's.")] = ["none", "mmhand"],
    estimators: Annotated[list[str], Option("--estimator", help="Estimator; repeatable.")] = ["hpm3d"],
    seeds: Annotated[list[int], Option("--seed", help="Seed; repeatable.")] = [0],
    single: Annotated[list[str], Option(metavar="GENERATOR", help="Gets the first seed only; repeatable.")] = [],
    preset: Preset = None,
    steps: Steps = None,
    generator_preset: Annotated[str | None, Option(help="Preset of the generators; --preset by default.")] = None,
    generator_steps: Annotated[int | None, Option(help="Their steps; the preset's by default.")] = None,
    settings: Annotated[list[str], Option("--set", metavar="SYSTEM.KEY=VALUE", help="Change a setting.")] = [],
    most_mm: Annotated[float | None, Option(metavar="MM", help="A judge rejects images whose pose errs more.")] = None,
    contiguous: Contiguous = False,
    compare_draws: Annotated[bool, Option("--compare-draws", help="Draw both ways, and show the difference.")] = False,
    budget: Annotated[str | None, Option(metavar="TIME", help="2h, 90m: run what fits, name the rest.")] = None,
    device: DeviceName = "auto",
    compile: CompileAll = "auto",
    workers: Annotated[int | None, Option(help="Cells at a time, on one thread each; see above.")] = None,
    scheduler: Scheduler = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Run the dataset-reduction experiment: shares x generators x estimators x seeds, resumable cell by cell.

    `handsynth reduce --alpha 0.2 --generator none --generator mmhand --generator simulator --budget 2h`

    `--dry-run` says which cells there are and what each would cost; what is made already costs nothing. Without
    `--workers` and `--scheduler` cells run one after the other on all cores; trainings on one thread and on many may
    differ in their last digits.
    """


@command("ablate:ablate", MORE)
def ablate(
    store: StoreName = None,
    alpha: Annotated[float, Option(help="Share of the training split that is the reduced set, between 0 and 1.")] = 0.4,
    seeds: Annotated[list[int], Option("--seed", help="Seed; repeatable.")] = [0],
    preset: Preset = None,
    steps: Annotated[int | None, Option(help="Steps of the estimators; the preset's by default.")] = None,
    generator_steps: Annotated[int | None, Option(help="Steps of the generators; the preset's by default.")] = None,
    settings: Annotated[list[str], Option("--set", metavar="SYSTEM.KEY=VALUE", help="Change a setting.")] = [],
    contiguous: Contiguous = False,
    device: DeviceName = "auto",
    compile: CompileAll = "auto",
    workers: Workers = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Run the ablation of mmhand: what masks, depth, curriculum and nearest sources each bring to an estimator.

    Five variants, each with one part more, at equal steps: see docs/mmhand.md. Writes a CSV file of scores; what is
    made already is not made again.
    """


@command("curriculum:curriculum", MORE)
def curriculum(
    run: Annotated[str | None, Argument(metavar="RUN", help="Trained generator; the only run by default.")] = None,
    store: Annotated[str | None, Argument(metavar="STORE", help="Store of the pairs; by default the run's.")] = None,
    judge: Annotated[str | None, Option(metavar="RUN", help="Estimator that says how far poses are off.")] = None,
    split: Annotated[str, Option(help="Of the target poses: held-out or test.")] = "held-out",
    count: Annotated[int, Option(help="Random pairs, or as many as there are targets.")] = 1000,
    seed: Annotated[int, Option(help="Of the pairs.")] = 0,
    device: DeviceName = "auto",
) -> None:
    """Plot how a generator's errors grow with the pose distance of source and target: a PNG, and a CSV of the points.

    `handsynth curriculum hands-mmhand-0.4 --judge hands-hpm3d`: what feeding easy pairs first rests on.
    """


@command("pipeline:run", MORE)
def run(
    pipeline: Annotated[str, Argument(help="TOML file, or one that comes with handsynth: see above.")],
    settings: Assignments = [],
    dry_run: DryRun = False,
) -> None:
    """Run a chain of stages from a TOML file; finished stages are not run again.

    With handsynth come demo, ge_realworld, mmhand_table1, mmhand_table2 and mmhand_table3.
    """


@command("demo:demo", MORE)
def demo() -> None:
    """See the whole flow on simulated hands in minutes: from raw files to a report."""
# fmt: on


def main() -> None:
    """Entry point of ``handsynth``."""
    try:
        app()
    except BrokenPipeError:
        # The reader of our output went away (``handsynth info | head``): nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


if __name__ == "__main__":
    main()
