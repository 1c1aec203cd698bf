"""Formats by name. One format is one file here and one manifest; outside packages join through entry points."""

from __future__ import annotations

from handsynth.formats.format import Format
from handsynth.runtime.plugins import load_member, member_names

FORMATS: dict[str, str] = {
    "coco": "handsynth.formats.coco:Coco",
    "dexycb": "handsynth.formats.dexycb:DexYcb",
    "fpha": "handsynth.formats.fpha:Fpha",
    "freihand": "handsynth.formats.freihand:FreiHand",
    "ganerated": "handsynth.formats.ganerated:Ganerated",
    "ge_realworld": "handsynth.formats.ge_realworld:GeRealWorld",
    "ge_synthetic": "handsynth.formats.ge_synthetic:GeSynthetic",
    "hanco": "handsynth.formats.hanco:HanCo",
    "handpose_x_plus": "handsynth.formats.handpose_x_plus:HandposeXPlus",
    "ho3d": "handsynth.formats.ho3d:Ho3d",
    "icvl": "handsynth.formats.icvl:Icvl",
    "interhand26m": "handsynth.formats.interhand26m:InterHand26M",
    "mhp": "handsynth.formats.mhp:Mhp",
    "msra15": "handsynth.formats.msra15:Msra15",
    "nyu": "handsynth.formats.nyu:Nyu",
    "panoptic": "handsynth.formats.panoptic:Panoptic",
    "parquet": "handsynth.formats.parquet:Parquet",
    "rgbd_folder": "handsynth.formats.rgbd_folder:RgbdFolder",
    "rhd": "handsynth.formats.rhd:Rhd",
    "stb": "handsynth.formats.stb:Stb",
    "webdataset": "handsynth.formats.webdataset:WebDataset",
}
"""Name -> ``module:class``; imported only when asked for."""


def format_names() -> list[str]:
    """Names of all formats, those of installed plug-ins included."""
    return member_names(FORMATS, "handsynth.formats")


def get_format(name: str) -> Format:
    """The format of that name.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    return load_member(name, FORMATS, "handsynth.formats")()
