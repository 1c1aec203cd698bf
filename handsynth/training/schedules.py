"""Learning-rate schedules: factors on the base rate."""

from __future__ import annotations

from handsynth.runtime.settings import Settings


def linear_decay(epoch: int, constant: int, decay: int, offset: int = 2) -> float:
    """Factor of the pix2pix family: 1 for about ``constant`` epochs, then linearly towards 0 over ``decay`` epochs.

    ``1 - max(0, epoch + offset - constant) / (decay + 1)``.

    Args:
        epoch: counted from 0.
        offset: 2 in PATN, MM-Hand and older snapshots of pix2pix, which so begin to decay in the epoch before the
            last constant one (with ``decay=0`` the last epoch learns nothing); 1 in later ones.
    """
    return 1.0 - max(0, epoch + offset - constant) / (decay + 1)


class LinearDecay(Settings, frozen=True, kw_only=True):
    """:func:`linear_decay` over a training counted in steps, divided into ``constant + decay`` equal epochs."""

    constant: int = 100
    decay: int = 0
    offset: int = 2

    def factor(self, step: int, steps: int) -> float:
        """Factor at a step of a run of ``steps``; never below 0."""
        epoch = step * (self.constant + self.decay) // steps
        return max(0.0, linear_decay(epoch, self.constant, self.decay, self.offset))
