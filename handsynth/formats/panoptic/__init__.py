"""CMU Panoptic hands (Simon et al., CVPR 2017; Joo et al., TPAMI 2017): pictures with 2-D joints, and 3-D in a dome.

Reads and writes four kinds of folders, one by the option ``part``: the Panoptic Studio's sequences with calibrated HD
cameras, and HandDB's ``hand_labels``, ``hand_labels_synth`` and ``hand143_panopticdb``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa

from handsynth.formats.format import Field
from handsynth.formats.layout import inside, nothing_found, require_folder, require_size
from handsynth.formats.panoptic import pictures, studio, studio_write
from handsynth.hand.rows import from_row
from handsynth.hand.sample import HandSample
from handsynth.imaging.codecs import read_color
from handsynth.imaging.warp import Box
from handsynth.runtime.settings import Settings

_EXPECTED = {
    "studio": "sequences like 171204_pose1 with a calibration, hdHand3d and hdImgs",
    "manual": "labels in hand_labels/manual_train or manual_test",
    "synth": "labels in hand_labels_synth/synth1 to synth4",
    "hand143": "hand143_panopticdb/hands_v143_14817.json",
}


class PanopticOptions(Settings, frozen=True, kw_only=True):
    """Which of the publishers' sets."""

    part: Literal["studio", "manual", "synth", "hand143"] = "studio"
    """3-D hands of the studio; or 2-D ones: labelled by people, rendered, or reprojected from the studio."""


class Panoptic:
    """See :class:`handsynth.formats.format.Format`.

    Parts manual, synth and hand143 hold 2-D joints without a camera; their points that are not valid are absent and
    stay in ``extra["invalid_px"]``. Studio samples are the hands of each HD image that shows at least one of their
    joints; images that were not taken from the videos are left out, and said so. All cameras of a frame are one moment.

    ``write`` keeps the size of images. Part studio keeps a sample's sequence, frame and camera where they are the
    studio's kind, otherwise numbers anew, one camera per calibration; without a world the camera's frame is the world,
    and each view of a moment then gets a frame of its own; a split is dropped. The other parts write 2-D joints,
    projected where there are none, and drop 3-D ones and the camera; test samples go to manual_test or synth4, others
    to manual_train or synth2, and hand143 drops sides and splits too. Depth, masks and visibility are dropped.
    """

    name: ClassVar[str] = "panoptic"
    summary: ClassVar[str] = "CMU Panoptic: real RGB of hands, 21 joints in 3-D (studio) or 2-D (HandDB)"
    fields: ClassVar[Mapping[str, Field]] = {
        "rgb": Field(tolerance=60, note="JPEG"),
        "joints_mm": Field(tolerance=1e-3, note="part studio only"),
        "keypoints_px": Field(tolerance=1e-2, note="projected in part studio"),
        "camera": Field(tolerance=1e-6, note="part studio only"),
        "world_from_camera": Field(tolerance=1e-6, note="part studio only"),
        "side": Field(note="not in part hand143"),
    }
    cropped: ClassVar[bool] = False
    independent_2d: ClassVar[bool] = False
    options_type: ClassVar[type[Settings]] = PanopticOptions

    def annotations(self, root: Path, options: PanopticOptions) -> list[Path]:
        require_folder(root, self.name)
        found = _annotations(root, options.part)
        if not found:
            others = [part for part in _EXPECTED if part != options.part and _annotations(root, part)]
            advice = f" (what is there needs part={' or part='.join(others)})" if others else ""
            raise nothing_found(_EXPECTED[options.part] + advice, root, self.name)
        return found

    def catalogue(self, root: Path, options: PanopticOptions) -> Iterator[pa.Table]:
        self.annotations(root, options)
        if options.part == "studio":
            yield from studio.catalogue(root)
        else:
            yield from pictures.catalogue(root, options.part)

    def load(self, root: Path, row: Mapping[str, Any], window: Box | None = None) -> HandSample:
        sample = from_row(row)
        path = inside(root, row["rgb_file"])
        rgb = read_color(path, window)
        return replace(sample, rgb=rgb if sample.camera is None else require_size(rgb, sample.camera, path))

    def write(self, root: Path, samples: Iterable[HandSample], options: PanopticOptions) -> None:
        if options.part == "studio":
            studio_write.write(root, samples)
        else:
            pictures.write(root, samples, options.part)


def _annotations(root: Path, part: str) -> list[Path]:
    return studio.label_files(root) if part == "studio" else pictures.label_files(root, part)
