"""The window in which a lossy profile's SSIM is measured: the object's own, else one made from its values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dicomnn.codec.sample import SampleFormat, stored_values
from dicomnn.dicom.attributes import ImagePixel
from dicomnn.dicom.scan import Layout

MODALITY_LUT, PER_FRAME = 0x00283000, 0x52009230
MOST_VALUES = 1 << 22
"""Values that the percentiles are taken of, spread evenly over all frames."""


@dataclass(frozen=True)
class ClinicalWindow:
    """`low` and `high`: stored values shown as black and white; `center` and `width`: Window Center and Width
    of function LINEAR for the same, after rescale. `source`: 'object' or 'values'."""

    low: float
    high: float
    center: float
    width: float
    source: str


def window_of(
    layout: Layout, image: ImagePixel, sample_format: SampleFormat, frames: np.ndarray
) -> ClinicalWindow:
    """Of an object with the raw words `frames` (frames, rows, columns).

    The first Window Center and Width, read as LINEAR (PS3.3 C.11.2.1.2) whatever VOI LUT Function says, where
    stored values are related to them by Rescale Slope and Intercept. Else (no window, windows or rescale that
    differ per frame, a Modality LUT Sequence) the 1st to 99th percentile of all values but padding.
    """
    slope, intercept = image.rescale_slope or 1.0, image.rescale_intercept or 0.0
    center, width = image.window_center, image.window_width
    linear = layout.find(MODALITY_LUT) is None
    linear &= layout.find(PER_FRAME) is None or image.rescale_slope is not None
    if linear and center is not None and width is not None:
        half = (max(width, 1.0) - 1.0) / 2.0
        ends = sorted(((center - 0.5 + side * half - intercept) / slope) for side in (-1, 1))
        low, high = ends[0], max(ends[1], ends[0] + 1.0)
        return ClinicalWindow(low, high, center, max(width, 1.0), "object")
    low, high = _percentiles(image, sample_format, frames)
    ends = sorted((low * slope + intercept, high * slope + intercept))
    return ClinicalWindow(low, high, (ends[0] + ends[1]) / 2 + 0.5, ends[1] - ends[0] + 1.0, "values")


def _percentiles(image: ImagePixel, sample_format: SampleFormat, frames: np.ndarray) -> tuple[float, float]:
    each = max(1, MOST_VALUES // len(frames))
    taken = []
    for frame in frames:
        flat = frame.reshape(-1)
        values = stored_values(flat[:: max(1, flat.size // each)], sample_format)
        if image.pixel_padding_value is not None:
            limit = image.pixel_padding_range_limit
            ends = sorted((image.pixel_padding_value, image.pixel_padding_value if limit is None else limit))
            values = values[(values < ends[0]) | (values > ends[1])]
        taken.append(values)
    values = np.concatenate(taken)
    if not values.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(values, (1.0, 99.0)))
    return low, max(high, low + 1.0)
