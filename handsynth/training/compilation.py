"""``torch.compile`` for the networks that train or generate: where it pays, and only where a compiler is found.

Networks are compiled in place, so that weights keep their names: a checkpoint does not tell how it was made, and a
training may be resumed either way. Compiled networks round otherwise than eager ones and drop other values, so
``run.json`` and the plan of a generated store record it.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from handsynth.errors import UsageError, sentence
from handsynth.runtime import progress

MODES = ("auto", "on", "off")
_LONG_SECONDS = 600.0


def check_mode(mode: str) -> None:
    """Refuse what is no mode.

    Raises:
        UsageError: it is none of :data:`MODES`.
    """
    if mode not in MODES:
        raise UsageError(sentence(f"one of {', '.join(MODES)}", repr(mode), "--compile"))


def for_all_arms(mode: str, device: torch.device) -> str:
    """``on`` or ``off`` for everything that is trained or generated in a comparison.

    ``auto`` is ``off``: what pays hangs on a measured time, and arms of one comparison could then differ.

    Raises:
        UsageError: it is no mode.
    """
    check_mode(mode)
    return "on" if mode == "on" and can_compile(device) else "off"


def pays(device: torch.device, seconds: float) -> bool:
    """Whether work that takes so long eagerly gets back the minutes that compiling costs.

    On a CPU it never does: convolutions are nearly all of a step there, and those are a library's either way.
    """
    return device.type == "cuda" and seconds > _LONG_SECONDS


def can_compile(device: torch.device) -> bool:
    """Whether a working compiler is found; says why not."""
    why = why_not(device)
    if why:
        progress.say(f"not compiled, as no working compiler is found: {why}")
    return not why


def why_not(device: torch.device) -> str:
    """Why a trial fails, if so: it needs a C++ compiler for a CPU, Triton and a C compiler for a GPU.

    A trial, because only that tells whether the compiler that is found also works.
    """
    try:
        torch.compile(_trial, dynamic=False)(torch.zeros(8, device=device))
    except Exception as error:  # whatever torch, Triton or the compiler raises, eager networks do without
        return (str(error).strip() or type(error).__name__).splitlines()[0]
    return ""


def compile_networks(networks: Iterable[nn.Module]) -> None:
    """Have each network compiled when it is first called, and again for each other mode (trained, frozen, ...).

    Only for the shapes it meets: kernels for any shape would depend on which one came first.
    """
    # torch keeps a few versions of a network, then goes on eagerly: those of an earlier training here must not count.
    torch.compiler.reset()
    for network in networks:
        network.compile(dynamic=False)


def _trial(x: torch.Tensor) -> torch.Tensor:
    return x.sin() + 1
