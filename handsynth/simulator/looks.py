"""Settings of what images look like: people's skin, light, places, things in the way, and what the camera does.

None of them changes where a hand is. ``Looks.without`` takes one kind of variety away, for ablations.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from handsynth.errors import UsageError, sentence
from handsynth.runtime.settings import Settings

Kind = Literal[
    "plain", "gradient", "blotches", "stripes", "texture", "room", "shelves", "outdoor", "clutter", "person", "print"
]
Variety = Literal["backgrounds", "lights", "skins", "sensor"]

_SHARES = ("hairy", "polish", "sleeves", "held", "occluders", "moving", "jpeg")
_RANGES = (
    "skin_ita_deg", "background_defocus", "lamp_share", "exposure", "contrast", "saturation", "blur_px",
    "defocus", "motion", "sharpening", "noise", "jpeg_quality", "vignetting",
)  # fmt: skip


class Looks(Settings, frozen=True, kw_only=True):
    """Ranges are (low, high), drawn evenly per image, and shares are of images, unless said otherwise."""

    without: tuple[Variety, ...] = ()
    """Varieties to leave out: one grey background, one light, one skin, a perfect sensor. For ablations."""

    skin_ita_deg: tuple[float, float] = (-52.0, 64.0)
    """Individual typology angle of the back of the hand, per person: above 55 very light, below -30 dark."""
    skin_variety: float = 1.0
    """Factor on how much people of one tone differ: tint, mottling, veins, wrinkles, gloss; 0 is one average skin."""
    hairy: float = 0.35
    """Share of people with visible hair on arm and back of the hand."""
    polish: float = 0.06
    """Share of people with painted nails."""
    sleeves: float = 0.55
    """Share of images whose arms wear cloth, up to a drawn distance from the wrist."""

    backgrounds: tuple[Kind, ...] = (
        "gradient", "blotches", "stripes", "texture", "room", "room", "shelves", "shelves", "shelves", "outdoor",
        "clutter", "clutter", "person", "person", "print",
    )  # fmt: skip
    """Kinds of drawn places, each as often as it stands here."""
    background_folder: str | None = None
    """Pictures (PNG, JPEG; subfolders too) to stand behind the hands instead of drawn places."""
    background_defocus: tuple[float, float] = (-0.01, 0.012)
    """Radius of the blur behind the hand, of the longer image side; below 0 is in focus."""
    lamp_share: tuple[float, float] = (0.3, 0.85)
    """Share of the light that comes from lamps; the rest comes from all around."""
    shadows: bool = True

    held: float = 0.08
    """Share of images with a ball, stick, box or card in a hand."""
    occluders: float = 0.04
    """Share of images with such a thing before a hand."""

    exposure: tuple[float, float] = (0.75, 1.35)
    """Factor on what the camera's own metering would choose."""
    white_balance: float = 0.05
    """Standard deviation of the colour cast that the camera leaves."""
    contrast: tuple[float, float] = (-0.05, 0.35)
    """How much steeper than sRGB the tone curve is in its middle."""
    saturation: tuple[float, float] = (0.8, 1.25)
    blur_px: tuple[float, float] = (0.2, 0.6)
    """Standard deviation of the blur of lens and pixel."""
    defocus: tuple[float, float] = (-0.012, 0.006)
    """Radius of the blur of a hand out of focus, of the longer image side; below 0 is in focus."""
    moving: float = 0.25
    """Share of images with motion blur."""
    motion: tuple[float, float] = (0.004, 0.03)
    """Its length, of the longer image side."""
    sharpening: tuple[float, float] = (0.0, 0.8)
    noise: tuple[float, float] = (0.0, 0.012)
    """Standard deviation of linear light at white."""
    jpeg: float = 0.7
    """Share of images that have been a JPEG file."""
    jpeg_quality: tuple[float, float] = (55.0, 97.0)
    vignetting: tuple[float, float] = (0.0, 1.2)
    """Exponent on the natural fall of light towards the corners."""
    aberration: float = 0.0006
    """Standard deviation of how much larger red is than green; blue errs the other way."""

    def __post_init__(self) -> None:
        for name in _RANGES:
            low, high = getattr(self, name)
            if low > high:
                raise UsageError(sentence("a range (low, high)", f"({low}, {high})", f"looks.{name}"))
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(sentence("a share from 0 to 1", str(getattr(self, name)), f"looks.{name}"))
        if not -89 < self.skin_ita_deg[0] <= self.skin_ita_deg[1] < 89:
            found = str(self.skin_ita_deg)
            raise UsageError(sentence("angles between -89 and 89 degrees", found, "looks.skin_ita_deg"))
        if not self.backgrounds:
            raise UsageError(sentence("at least one kind of background", "none", "looks.backgrounds"))

    def settled(self) -> Looks:
        """The same with ``without`` carried out by the other settings, as far as they reach."""
        changes: dict[str, object] = {}
        if "backgrounds" in self.without:
            changes |= {"backgrounds": ("plain",), "background_folder": None}
        if "skins" in self.without:
            changes |= {"skin_ita_deg": (30.0, 30.0), "skin_variety": 0.0, "hairy": 0.0, "polish": 0.0}
        if "lights" in self.without:
            changes |= {"exposure": (1.0, 1.0), "white_balance": 0.0}
        if "sensor" in self.without:
            changes |= {
                "blur_px": (0.0, 0.0), "defocus": (0.0, 0.0), "moving": 0.0, "sharpening": (0.0, 0.0),
                "noise": (0.0, 0.0), "jpeg": 0.0, "vignetting": (0.0, 0.0), "aberration": 0.0,
                "contrast": (0.0, 0.0), "saturation": (1.0, 1.0),
            }  # fmt: skip
        return msgspec.structs.replace(self, **changes)
