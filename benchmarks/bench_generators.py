"""MM-Hand's training and generation against a plain loop of the same networks, and augmentation end to end.

    python benchmarks/bench_generators.py                      some five minutes on two cores, less on a GPU
    python benchmarks/bench_generators.py --presets tiny       the small network alone, half a minute
    python benchmarks/bench_generators.py --compile on         compiled networks beside the eager ones, also on a CPU
    python benchmarks/bench_generators.py --part generation    one of training, generation and end-to-end, or several

Presets and parts can be run one by one, where time is short.

The plain loop is what one writes first: float32, channels before pixels, eager networks, torch's own Adam and
``backward``. Ours is the same system as ``handsynth train`` and ``augment`` run it: channels last, bf16 and, on a GPU,
compiled. Both see the same ready batches, in turns within one run; compiling is not counted. Goals: 1.5 times the plain
loop on two CPU cores that know bfloat16; on a GPU 4 times true float32 and 2 times TF32. Augmentation end to end (read,
condition, generate, write; one worker, in this process) keeps 90 % of the bare generator's pace, eager and compiled.
Networks are untrained and the perceptual loss, whose weights are a file of one's own, is left out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from gauge import header, interleave, report

from handsynth.generators.mmhand import MMHand, MMHandSettings
from handsynth.runtime.settings import canonical_json, override
from handsynth.stages import generation
from handsynth.stages.augment import augment
from handsynth.stages.matching import pair_batch, read_matches
from handsynth.stages.systems import build_system
from handsynth.stages.workspace import Workspace
from handsynth.store.read import open_store
from handsynth.training import compilation, loop
from handsynth.training.batches import Hands
from handsynth.training.loop import Device
from handsynth.training.run import RunInfo, StoreRef, write_run
from handsynth.training.system import PairBatch
from tests.generators.drawn_hands import drawn_pairs
from tests.stores import make_store

FLOAT32, BF16 = "32-true", "bf16-mixed"
OURS = "ours: bf16"
COMPILED = "ours: bf16, compiled"
STORE_SIZE = 256
PARTS = ("training", "generation", "end-to-end")
Peers = dict[str, Callable[[], object]]


class Plain(nn.Module):
    """A network with channels before pixels, whatever its inputs are like."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.contiguous_format)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.network(*(each.contiguous() for each in inputs))


def plain(settings: MMHandSettings, device: torch.device) -> MMHand:
    """The system as a plain loop runs it."""
    system = build_system("mmhand", settings, seed=0)
    networks = system.networks()
    for name, network in list(networks.items()):
        networks[name] = Plain(network.to(device))
    return system


def plain_step(settings: MMHandSettings, batch: PairBatch, device: torch.device) -> Callable[[], object]:
    system = plain(settings, device)
    optimizers = system.optimizers()
    return lambda: system.step(batch, optimizers, lambda loss: loss.backward())


def our_step(settings: MMHandSettings, batch: PairBatch, device: Device, compiled: bool) -> Callable[[], object]:
    system = build_system("mmhand", settings, seed=0)
    fabric, optimizers = loop.set_up(system, device, compiled)
    return lambda: system.step(batch, optimizers, fabric.backward)


def our_images(run: Path, batch: PairBatch, device: Device, compiled: bool = False) -> Callable[[], object]:
    system, _ = generation.ready(run, device, compiled)
    return lambda: system.generate(batch)


def plain_images(settings: MMHandSettings, batch: PairBatch, device: torch.device) -> Callable[[], object]:
    system = plain(settings, device)
    return lambda: system.generate(batch)


def repeated(run: Callable[[], object], times: int, device: torch.device, tf32: bool = False) -> Callable[[], None]:
    """``times`` in a row, and the device done with all of it; float32 as such or as TF32."""

    def several() -> None:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
        for _ in range(times):
            run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return several


def compare(title: str, eager: Callable[[], object], ours: Peers, count: int, where: str, options: argparse.Namespace,
            fastest: str) -> None:  # fmt: skip
    """Time the plain way, on a GPU with and without TF32, beside ours."""
    device, times = torch.device(where), options.steps
    if where == "cuda":
        goals = {"plain float32": 4.0, "plain TF32": 2.0}
        peers = {"plain float32": repeated(eager, times, device), "plain TF32": repeated(eager, times, device, True)}
    else:
        goals = {"plain float32": 1.5}
        peers = {"plain float32": repeated(eager, times, device)}
    peers |= {name: repeated(run, times, device) for name, run in ours.items()}
    report(title, interleave(peers, options.rounds), fastest, count * times, goals)


def training(preset: str, settings: MMHandSettings, where: str, options: argparse.Namespace, compiled: bool) -> None:
    device = torch.device(where)
    batch = drawn_pairs(settings.batch, settings.size).to(device)
    ours: Peers = {
        "ours: float32": our_step(settings, batch, Device(where, FLOAT32), False),
        OURS: our_step(settings, batch, Device(where, BF16), False),
    }
    if compiled:
        ours[COMPILED] = our_step(settings, batch, Device(where, BF16), True)
    title = f"Training steps, {preset}, {settings.size} px, batch {settings.batch}"
    compare(title, plain_step(settings, batch, device), ours, 1, where, options, COMPILED if compiled else OURS)


def generating(
    preset: str, settings: MMHandSettings, run: Path, where: str, options: argparse.Namespace, compiled: bool
) -> None:
    device, count = torch.device(where), min(generation.BATCH, images_of(settings, where, options))
    batch = drawn_pairs(count, settings.size).to(device)
    ours: Peers = {
        "ours: float32": our_images(run, batch, Device(where, FLOAT32)),
        OURS: our_images(run, batch, Device(where, BF16)),
    }
    if compiled:
        ours[COMPILED] = our_images(run, batch, Device(where, BF16), True)
    title = f"Generated images, {preset}, {settings.size} px, batches of {count}"
    plainly = plain_images(settings, batch, device)
    compare(title, plainly, ours, count, where, options, COMPILED if compiled else OURS)


def end_to_end(
    preset: str, settings: MMHandSettings, run: Path, where: str, options: argparse.Namespace, compiled: bool
) -> None:
    """``augment`` makes a store; then its shards are made again beside the bare generator on the same ready batches."""
    images, device = images_of(settings, where, options), Device(where, BF16)
    space = Workspace.of(run.parents[1])
    data = make_store(
        space.root / "stores" / f"hands-{preset}{'-compiled' * compiled}", count=4 * images, size=STORE_SIZE
    )
    address = augment(
        data.address, alpha=0.5, run=run.name, count=images, device=where, precision="bf16",
        compile="on" if compiled else "off", workers=1, workspace=space,
    )  # fmt: skip
    plan = open_store(address).info.plan
    tasks = [
        generation.Task(address, plan, data.address, str(run), device, shard)
        for shard in range(-(-plan.slots // plan.shard_size))
    ]
    slots = np.arange(plan.slots)
    matches = read_matches(address, range(plan.slots))
    sources, targets = (Hands(data, matches[f"{which}_slot"], plan.size) for which in ("source", "target"))
    rows = [slots[start : start + generation.BATCH] for start in range(0, len(slots), generation.BATCH)]
    batches = [pair_batch(sources, targets, part).to(device.torch_device) for part in rows]
    # What augment compiled is forgotten here and compiled again in the first, uncounted round, like the bare generator.
    system, _ = generation.ready(run, device, compiled)
    peers = {
        "bare generator": repeated(lambda: [system.generate(batch) for batch in batches], 1, device.torch_device),
        "end to end": repeated(lambda: [generation.make_shard(task) for task in tasks], 1, device.torch_device),
    }
    timing = interleave(peers, options.rounds)
    title = f"Augmentation, {preset}, {settings.size} px, {images} images, bf16{', compiled' * compiled}"
    report(title, timing, "end to end", images, {"bare generator": 0.9})


def images_of(settings: MMHandSettings, where: str, options: argparse.Namespace) -> int:
    return options.images or (16 if where == "cpu" and settings.size >= STORE_SIZE else 128)


def untrained_run(folder: Path, preset: str, settings: MMHandSettings, where: str) -> Path:
    """The run of a generator after one training step."""
    device, run = Device(where, BF16), folder / "runs" / f"mmhand-{preset}"
    system = build_system("mmhand", settings, seed=0)
    batch = drawn_pairs(settings.batch, settings.size)
    info = RunInfo(
        name=run.name, system="mmhand", family="generator", preset=preset, steps=1, samples=settings.batch,
        settings=msgspec.json.decode(canonical_json(settings)), store=StoreRef(name="drawn", hash=""),
        precision=device.precision, parameters=0,
    )  # fmt: skip
    write_run(run, info)
    loop.train(system, lambda step: batch, run, steps=1, seed=0, device=device)
    return run


def knows_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 itself, as far as the system says."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", help="of mmhand; by default paper and tiny, on a GPU also small")
    parser.add_argument("--part", nargs="+", default=PARTS, choices=PARTS, help="all by default")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--compile", default="auto", choices=compilation.MODES, help="auto: on a GPU")
    parser.add_argument("--size", type=int, help="px; the preset's by default")
    parser.add_argument("--batch", type=int, help="of training; the preset's by default, on a CPU 1 at 256 px")
    parser.add_argument("--images", type=int, help="of augmentation; by default 128, on a CPU 16 at 256 px")
    parser.add_argument("--steps", type=int, help="in a row before the turn changes; 1 by default, 5 on a GPU")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    where = Device.choose(options.device).accelerator
    options.steps = options.steps or (5 if where == "cuda" else 1)
    header(("torch", "lightning-fabric"))
    print(" ".join(["python", *sys.argv]))
    if where == "cuda":
        print(torch.cuda.get_device_name())
    else:
        print(f"{torch.get_num_threads()} threads; this CPU " + ("knows bfloat16" if knows_bfloat16() else
              "does not know bfloat16: bf16 is emulated, and its goal of 1.5x is not for here"))  # fmt: skip
    wanted = options.compile == "on" or (options.compile == "auto" and where == "cuda")
    compiled = wanted and compilation.can_compile(torch.device(where))
    for preset in options.presets or (["paper", "small", "tiny"] if where == "cuda" else ["paper", "tiny"]):
        settings = override(MMHand.presets[preset], ["perceptual=null"])
        batch = options.batch or (1 if where == "cpu" and settings.size >= STORE_SIZE else settings.batch)
        settings = msgspec.structs.replace(settings, batch=batch, size=options.size or settings.size)
        if "training" in options.part:
            training(preset, settings, where, options, compiled)
        if options.part == ["training"]:
            continue
        with tempfile.TemporaryDirectory() as folder:
            run = untrained_run(Path(folder), preset, settings, where)
            if "generation" in options.part:
                generating(preset, settings, run, where, options, compiled)
            if "end-to-end" in options.part:
                for how in (False, True) if compiled else (False,):
                    end_to_end(preset, settings, run, where, options, how)


if __name__ == "__main__":
    main()
