"""Stored values -> what a screen shows: modality, window, inversion, palette, colour (PS3.3 C.7.6.3, C.11).

Attributes come as the DICOM JSON Model has them, frame by frame where functional groups say so. The result is
for looking at, 8 bits deep: no measurement may be made on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dicomnn.dicom.attributes import ImagePixel
from dicomnn.dicom.json_values import Json
from dicomnn.errors import FrameUndecodable, IdentifierInvalid

SHARED, PER_FRAME = "52009229", "52009230"
TRANSFORMATION, VOI = "00289145", "00289132"
SLOPE, INTERCEPT, MODALITY_LUT = "00281053", "00281052", "00283000"
CENTER, WIDTH, FUNCTION, VOI_LUT = "00281050", "00281051", "00281056", "00283010"
DESCRIPTOR, DATA = "00283002", "00283006"
SHAPE = "20500020"
FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")

Bulk = Callable[[str], bytes]
"""The bytes that a path names, little endian."""


@dataclass(frozen=True)
class Window:
    """Center and width in units of the modality; `function` as in VOI LUT Function (PS3.3 C.11.2.1.3).

    Raises IdentifierInvalid for a width that no window can have.
    """

    center: float
    width: float
    function: str = "LINEAR"

    def __post_init__(self) -> None:
        numbers = np.isfinite([self.center, self.width]).all()
        least = 1.0 if self.function == "LINEAR" else 0.0
        if self.function not in FUNCTIONS or not numbers or self.width < least or self.width == 0:
            raise IdentifierInvalid("a window has a center, a width above 0 (LINEAR: from 1), and a function "
                                    f"of {', '.join(FUNCTIONS)}")

    def apply(self, values: np.ndarray) -> np.ndarray:
        """0 to 1."""
        if self.function == "SIGMOID":
            return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - self.center) / self.width, -60, 60)))
        center, width = self.center, self.width
        if self.function == "LINEAR":
            center, width = center - 0.5, width - 1.0
        if width <= 0:
            return (values > center).astype(np.float32)
        return np.clip((values - center) / width + 0.5, 0.0, 1.0)


@dataclass(frozen=True)
class Facts:
    """What is needed of one instance: `attributes` of its data set, `bulk` for large values."""

    pixel: ImagePixel
    photometric_interpretation: str
    planar_configuration: int
    attributes: Json
    bulk: Bulk


def shown(raw: bytes, size: tuple[int, int], facts: Facts, frame: int,
          window: Window | None = None) -> np.ndarray:
    """(rows, columns) or (rows, columns, 3) of uint8, from a native frame's bytes.

    ``size``: rows and columns of what ``raw`` holds, which may be a part of the frame. ``frame``: counted
    from 0, for functional groups. Raises FrameUndecodable for what has no picture.
    """
    pixel, photometric = facts.pixel, facts.photometric_interpretation
    if (pixel.samples_per_pixel or 1) == 3:
        return _colour(raw, size, facts)
    values = _values(raw, size, pixel)
    if photometric == "PALETTE COLOR":
        return _palette(values, facts)
    grey = _grey(values, facts, frame, window)
    if photometric == "MONOCHROME1" or "INVERSE" in _strings(facts.attributes, SHAPE):
        # Both may stand there; then the shape is what inverts, once.
        grey = 1.0 - grey
    return (grey * 255.0 + 0.5).astype(np.uint8)


# ------------------------------------------------------------------ grey
def _values(raw: bytes, size: tuple[int, int], pixel: ImagePixel) -> np.ndarray:
    """Stored values of a single-sample frame."""
    count, allocated = size[0] * size[1], pixel.bits_allocated or 16
    if allocated == 1:
        return np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little")[:count].reshape(size)
    if allocated not in (8, 16, 32) or len(raw) < count * allocated // 8:
        if len(raw) == count * 8:
            return np.frombuffer(raw, "<f8").reshape(size)
        raise FrameUndecodable(f"an image of {allocated} bits cannot be shown")
    if allocated == 32 and pixel.bits_stored is None:
        return np.frombuffer(raw, "<f4", count).reshape(size)
    words = np.frombuffer(raw, f"<u{allocated // 8}", count).reshape(size)
    stored = min(pixel.bits_stored or allocated, allocated)
    high = pixel.high_bit if pixel.high_bit is not None else stored - 1
    whole: np.ndarray = words.astype(np.int64 if allocated == 32 else np.int32)
    values = whole >> max(0, high - stored + 1) & (1 << stored) - 1
    if pixel.pixel_representation == 1:
        half = 1 << stored - 1
        values = (values ^ half) - half
    return values


def _grey(values: np.ndarray, facts: Facts, frame: int, window: Window | None) -> np.ndarray:
    around = _groups(facts.attributes, frame)
    physical = _modality(values, facts, around)
    if window is not None:
        return window.apply(physical)
    lut = _items(facts.attributes, VOI_LUT)
    found = _window(facts.attributes, around)
    if found is not None:
        return found.apply(physical)
    if lut:
        table = _lut(lut[0], f"{VOI_LUT}/0/", facts.bulk)
        if table is not None:
            looked = _look_up(physical, *table)
            return looked / max(1.0, float(table[1].max()))
    return _by_values(physical, values, facts.pixel)


def _by_values(physical: np.ndarray, values: np.ndarray, pixel: ImagePixel) -> np.ndarray:
    """Without a window: from the least to the greatest value, padding left out."""
    there = np.isfinite(physical)
    if pixel.pixel_padding_value is not None:
        padding, limit = pixel.pixel_padding_value, pixel.pixel_padding_range_limit
        ends = sorted((padding, padding if limit is None else limit))
        there &= (values < ends[0]) | (values > ends[1])
    inside = physical[there]
    if not inside.size:
        return np.zeros(values.shape, np.float32)
    low, high = float(inside.min()), float(inside.max())
    return np.clip(np.nan_to_num((physical - low) / max(high - low, 1e-9)), 0.0, 1.0)


def _modality(values: np.ndarray, facts: Facts, around: list[Json]) -> np.ndarray:
    for place in (*around, facts.attributes):
        scale = _items(place, TRANSFORMATION)
        for found in (*scale, place):
            slope, intercept = _numbers(found, SLOPE), _numbers(found, INTERCEPT)
            if slope or intercept:
                return _real(values) * (slope[0] if slope else 1.0) + (intercept[0] if intercept else 0.0)
    lut = _items(facts.attributes, MODALITY_LUT)
    table = _lut(lut[0], f"{MODALITY_LUT}/0/", facts.bulk) if lut else None
    return _real(values) if table is None else _look_up(values, *table)


def _real(values: np.ndarray) -> np.ndarray:
    """Single precision holds every value of 16 bits, at half the memory."""
    return values.astype(np.float32 if values.dtype.itemsize <= 4 else np.float64)


def _window(attributes: Json, around: list[Json]) -> Window | None:
    for place in (*around, attributes):
        for found in (*_items(place, VOI), place):
            center, width = _numbers(found, CENTER), _numbers(found, WIDTH)
            if center and width:
                named = _strings(found, FUNCTION)
                function = named[0] if named and named[0] in FUNCTIONS else "LINEAR"
                try:
                    return Window(center[0], width[0], function)
                except IdentifierInvalid:
                    return None
    return None


def _lut(item: Json, path: str, bulk: Bulk) -> tuple[int, np.ndarray] | None:
    """(first value mapped, entries) of a LUT (PS3.3 C.11.1.1.1)."""
    descriptor, data = _numbers(item, DESCRIPTOR), _words(item, DATA, path, bulk)
    if len(descriptor) < 3 or data is None:
        return None
    first = int(descriptor[1])
    entries = data[:int(descriptor[0]) or 65536].astype(np.float64)
    return (first, entries) if entries.size else None


def _words(found: Json, tag: str, path: str, bulk: Bulk) -> np.ndarray | None:
    element = found.get(tag, {})
    if "BulkDataURI" in element:
        raw = bulk(path + tag)
        return np.frombuffer(raw[:len(raw) // 2 * 2], "<u2")
    if "InlineBinary" in element:
        import base64

        raw = base64.b64decode(element["InlineBinary"])
        return np.frombuffer(raw[:len(raw) // 2 * 2], "<u2")
    numbers = _numbers(found, tag)
    return np.array(numbers).astype(np.int64).astype(np.uint16) if numbers else None


def _look_up(values: np.ndarray, first: int, entries: np.ndarray) -> np.ndarray:
    places = np.clip(np.nan_to_num(values).astype(np.int64) - first, 0, len(entries) - 1)
    return entries[places]


# ------------------------------------------------------------------ colour
def _palette(values: np.ndarray, facts: Facts) -> np.ndarray:
    """Palette Color Lookup Tables; segmented ones are not unfolded (PS3.3 C.7.9)."""
    channels = []
    for number in range(1, 4):
        descriptor = _numbers(facts.attributes, f"0028110{number}")
        data = _words(facts.attributes, f"0028120{number}", "", facts.bulk)
        if len(descriptor) < 3 or data is None:
            raise FrameUndecodable("its palette cannot be read")
        count = int(descriptor[0]) or 65536
        if int(descriptor[2]) == 8 and len(data) * 2 <= count + 1:
            entries = data.astype("<u2").view(np.uint8)[:count]     # two 8-bit entries a word
        else:
            deep = int(descriptor[2]) > 8
            entries = (data[:count] >> 8 if deep and int(data[:count].max(initial=0)) > 255
                       else data[:count]).astype(np.uint8)
        channels.append(_look_up(values, int(descriptor[1]), entries))
    return np.stack(channels, axis=-1).astype(np.uint8)


def _colour(raw: bytes, size: tuple[int, int], facts: Facts) -> np.ndarray:
    pixel, photometric = facts.pixel, facts.photometric_interpretation
    rows, columns = size
    wide = (pixel.bits_allocated or 8) // 8
    if wide not in (1, 2):
        raise FrameUndecodable("a colour image of this depth cannot be shown")
    samples = np.frombuffer(raw, f"<u{wide}")
    if photometric == "YBR_FULL_422" and samples.size == rows * columns * 2:
        four = samples.reshape(rows, columns // 2, 4)
        image = np.empty((rows, columns, 3), samples.dtype)
        image[:, ::2, 0], image[:, 1::2, 0] = four[..., 0], four[..., 1]
        image[..., 1], image[..., 2] = (np.repeat(four[..., place], 2, axis=1) for place in (2, 3))
    elif samples.size < rows * columns * 3:
        raise FrameUndecodable("the frame is shorter than the image")
    elif facts.planar_configuration == 1:
        image = np.moveaxis(samples[:rows * columns * 3].reshape(3, rows, columns), 0, -1)
    else:
        image = samples[:rows * columns * 3].reshape(rows, columns, 3)
    if wide == 2:
        image = (image >> max(0, (pixel.bits_stored or 16) - 8)).astype(np.uint8)
    if not photometric.startswith("YBR_FULL"):
        return np.ascontiguousarray(image)
    light, blue, red = (image[..., place].astype(np.float32) for place in range(3))
    blue, red = blue - 128.0, red - 128.0
    rgb = (light + 1.402 * red, light - 0.344136 * blue - 0.714136 * red, light + 1.772 * blue)
    return np.clip(np.stack(rgb, axis=-1) + 0.5, 0, 255).astype(np.uint8)


# ------------------------------------------------------------------ attributes
def _groups(attributes: Json, frame: int) -> list[Json]:
    """Functional groups of a frame, its own first (PS3.3 C.7.6.16)."""
    own = _items(attributes, PER_FRAME)
    return [*own[frame:frame + 1], *_items(attributes, SHARED)[:1]]


def _items(found: Json, tag: str) -> list[Json]:
    return [item for item in _listed(found, tag) if isinstance(item, dict)]


def _numbers(found: Json, tag: str) -> list[float]:
    return [float(value) for value in _listed(found, tag) if isinstance(value, (int, float))]


def _strings(found: Json, tag: str) -> list[str]:
    return [value for value in _listed(found, tag) if isinstance(value, str)]


def _listed(found: Json, tag: str) -> list[Any]:
    return list(found.get(tag, {}).get("Value", ()))
