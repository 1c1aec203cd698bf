"""What all generators here share: networks with seeded weights, one Adam for each, a rate that is constant or decays.

A generator adds its networks, its losses (``step``) and how it makes an image (``generate``).
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn

from handsynth.runtime.seeds import entropy
from handsynth.runtime.settings import Settings
from handsynth.training.pool import HistoryPool
from handsynth.training.schedules import LinearDecay
from handsynth.training.system import PairBatch

Count = Annotated[int, Meta(ge=1)]
Weight = Annotated[float, Meta(ge=0)]
Initialise = Callable[[nn.Module, torch.Generator], nn.Module]
"""Draws a network's weights, in place; see ``networks/initialise.py``."""


class AdversarialSettings(Settings, frozen=True, kw_only=True):
    """Settings that all generators have in common, of their optimisers mostly."""

    learning_rate: Annotated[float, Meta(gt=0)] = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    decay: LinearDecay | None = None
    """Learning-rate schedule; constant without one."""
    ema: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    """Decay of the averaged weights that generation uses; 0 = none."""
    batch: Count = 1
    steps: Count


class PairSettings(AdversarialSettings, frozen=True, kw_only=True):
    """Settings of those that learn from pairs of a source and a target hand."""

    pairs: Literal["any", "sequence"] = "any"
    """Who is paired: any two hands of the reduced set, as MM-Hand's text has it, or two of one sequence where the store
    names sequences. A source of another scene does not tell what the target's image looks like, so that what is learned
    is the mean of all scenes."""
    curriculum: bool = False
    """Whether pairs come in order of their pose distance."""
    redraw_pairs: bool = True
    """Whether pairs are drawn anew for every epoch."""


class AdversarialGenerator(abc.ABC):
    """The parts that do not differ; see ``training.system.Generator`` for what the methods promise.

    Args:
        settings: of the system.
        seed: fixes the initial weights and whatever else the system draws.
    """

    name: ClassVar[str]
    family: ClassVar[Literal["generator", "estimator"]] = "generator"
    makes: ClassVar[Literal["rgb", "depth"]] = "rgb"
    reads_depth: ClassVar[bool] = False
    settings: AdversarialSettings

    def __init__(self, settings: AdversarialSettings, seed: int) -> None:
        self.settings = settings
        self._seed = seed
        self._networks: dict[str, nn.Module] = {}
        self._pools: dict[str, HistoryPool] = {}

    def _add(self, name: str, network: nn.Module, initialise: Initialise) -> None:
        """Take in a network; its weights go by seed, system and name, whatever other networks there are."""
        initialise(network, torch.Generator().manual_seed(entropy(self._seed, self.name, name) >> 1))
        self._networks[name] = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def networks(self) -> dict[str, nn.Module]:
        """All networks by name; images come from ``generator``."""
        return self._networks

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """One Adam per network, by its name."""
        s = self.settings
        return {
            name: torch.optim.Adam(network.parameters(), lr=s.learning_rate, betas=s.betas)
            for name, network in self._networks.items()
        }

    def schedule(self, step: int, steps: int) -> float:
        """Constant, or the linear decay of the settings."""
        return 1.0 if self.settings.decay is None else self.settings.decay.factor(step, steps)

    @abc.abstractmethod
    def step(self, batch: PairBatch, optimizers: Mapping[str, Any], backward: Any) -> dict[str, Tensor]:
        """One step of every network whose turn it is; returns losses by name, without their weights."""

    @abc.abstractmethod
    def generate(self, batch: PairBatch) -> Tensor:
        """(B, 3, S, S) in [0, 1]."""

    def state(self) -> dict[str, Any]:
        """What the history pools hold; nothing where there are none."""
        return {name: pool.state() for name, pool in self._pools.items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Put back what :meth:`state` gave, on the networks' device."""
        device = next(self._networks["generator"].parameters()).device
        for name, pool in self._pools.items():
            pool.load_state({key: value.to(device) for key, value in state[name].items()})
