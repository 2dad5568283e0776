"""What the report needs from an instance while both its original and its coded object are there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomnn.codec.distortion import ssim
from dicomnn.codec.sample import SampleFormat, stored_values
from dicomnn.coded.mapping import Mapping
from dicomnn.coded.original import opened
from dicomnn.coded.restore import stored_frames
from dicomnn.dicom.attributes import read_attributes, read_image_pixel
from dicomnn.dicom.scan import scan
from dicomnn.errors import DicomError
from dicomnn.report.figures import FrameSample, draw
from dicomnn.report.quality import FrameMeasure, Window, measure_frame, summarise

if TYPE_CHECKING:
    from dicomnn.codec.model import Model

Models = Callable[[str], "Model"]
MOST_PLOTTED = 2000             # frames of one instance


def image_facts(path: Path) -> dict[str, Any]:
    """The Image Pixel module and the modality of a DICOM file, as plain values; {} where there is none."""
    try:
        with Mapping(path) as mapping:
            layout = scan(mapping.buffer)
            image = read_image_pixel(mapping.buffer, layout)
            modality = read_attributes(mapping.buffer, layout).modality
    except DicomError:
        return {}
    return {} if image is None else {**asdict(image), "modality": modality}


def sample_format_of(image: dict[str, Any]) -> SampleFormat:
    """The SampleFormat that `image_facts` speak of."""
    return SampleFormat(int(image["bits_allocated"]), int(image["bits_stored"]), int(image["high_bit"]),
                        image.get("pixel_representation") == 1)


def unit_of(image: dict[str, Any]) -> str:
    """'HU' where a rescaled value is one (PS3.3 C.11.1.1.2: CT without Rescale Type means HU), else ''."""
    if not image.get("rescale_slope"):
        return ""
    named = str(image.get("rescale_type") or "").strip().upper()
    return "HU" if named == "HU" or (not named and image.get("modality") == "CT") else ""


def window_of(image: dict[str, Any], values: np.ndarray) -> Window:
    """The clinical window in stored units; from the values where the file names none."""
    center, width = image.get("window_center"), image.get("window_width")
    if center is not None and width is not None:
        return Window.from_dicom(center, width, image.get("rescale_slope") or 1.0,
                                 image.get("rescale_intercept") or 0.0)
    return Window.from_values(values, image.get("pixel_padding_value"))


def sample(image: dict[str, Any], values: np.ndarray, *, series: str, uid: str, frame: int, role: str,
           title: str, decoded: np.ndarray | None = None) -> FrameSample:
    """One frame of stored values (rows, columns) to be drawn; ``frame`` counts from 1."""
    return FrameSample(series, uid, frame, role, title, values, window_of(image, values), decoded,
                       inverted=image.get("photometric_interpretation") == "MONOCHROME1")


def measured(source: Path, coded: Path, models: Models, image: dict[str, Any], *, series: str,
             uid: str, promised_worst: int | None = None) -> dict[str, Any]:
    """Errors of a lossy coded object against its original, frame by frame.

    Returns ``quality`` (JSON of `report.quality.Quality`) and ``figures``: the worst and the middle frame
    drawn, because the original will be gone when the report is written. ``promised_worst``: the frame (from
    1) that is worst by a promised figure, drawn too. Memory: two frames.
    """
    frames: list[FrameMeasure] = []
    kind = sample_format_of(image)
    window: Window | None = None
    with Mapping(source) as mapping:
        layout = scan(mapping.buffer)
        pixel = read_image_pixel(mapping.buffer, layout)
        assert pixel is not None, "a coded object has an image"
        with opened(mapping, layout, pixel, folder=coded.parent) as original:
            pairs = zip(original.each_frame(), stored_frames(coded, models), strict=True)
            for number, (before, after) in enumerate(pairs, 1):
                values = stored_values(before, kind)
                window = window or window_of(image, values)
                frames.append(measure_frame(values, stored_values(after, kind), window, ssim, number))
            assert window is not None
            quality = summarise(frames, kind.bits_stored, window, image.get("rescale_slope"), unit_of(image))
            worst = quality.worst_frame or 1
            wanted = {(len(frames) + 1) // 2: "middle", promised_worst or worst: "worst", worst: "worst"}
            figures = []
            pairs = zip(original.each_frame(), stored_frames(coded, models), strict=True)
            for number, (before, after) in enumerate(pairs, 1):
                if number in wanted:
                    shown = sample(image, stored_values(before, kind), series=series, uid=uid, frame=number,
                                   role=wanted[number], title="", decoded=stored_values(after, kind))
                    figures.append(draw(shown).stored())
    return {"quality": quality.to_json(), "figures": figures, "frame_errors": frame_errors(frames)}


def frame_errors(frames: list[FrameMeasure]) -> dict[str, list[float | None]]:
    """Errors of each frame as short lists, for a plot; {} of a single frame, which `quality` tells about."""
    if not 1 < len(frames) <= MOST_PLOTTED:
        return {}
    return {"max_error": [frame.max_error for frame in frames],
            "mse": [float(f"{frame.mse:.4g}") for frame in frames],
            "ssim": [None if np.isnan(frame.ssim) else float(f"{frame.ssim:.6g}") for frame in frames]}
