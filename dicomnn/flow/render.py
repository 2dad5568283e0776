"""A frame as a picture for a screen: PNG or JPEG, windowed, cut and scaled as asked (PS3.18 8.3.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dicomnn.dicom.display import Facts, Window, shown
from dicomnn.dicom.mark import loss_words, marked
from dicomnn.dicom.scaling import fitted, scaled
from dicomnn.errors import IdentifierInvalid
from dicomnn.flow.frames import Frames, Image, tag_of
from dicomnn.flow.metadata import Metadata

if TYPE_CHECKING:
    from dicomnn.archive.index import Instance

JPEG, PNG = "image/jpeg", "image/png"
LARGEST_SIDE = 8192
LARGEST_AREA = 16 << 20     # pixels of a scaled picture: some 300 MiB on the way


@dataclass(frozen=True)
class Viewport:
    """At most ``width`` x ``height`` pixels of the rectangle from column ``left`` and row ``top``;
    ``across`` or ``down`` None: to the edge, negative: mirrored."""

    width: int
    height: int
    left: int = 0
    top: int = 0
    across: int | None = None
    down: int | None = None


@dataclass(frozen=True)
class Picture:
    """What is wanted. quality: of a JPEG, 1 to 100."""

    kind: str = JPEG
    window: Window | None = None
    viewport: Viewport | None = None
    quality: int = 90


class Rendering:
    """Thread-safe."""

    def __init__(self, frames: Frames, metadata: Metadata) -> None:
        self._frames, self._metadata = frames, metadata

    def picture(self, instance: Instance, number: int, wanted: Picture) -> bytes:
        """Frame ``number``, counted from 1.

        Raises
        ------
        IdentifierInvalid
            The viewport lies outside of the image.
        FrameUndecodable
            It has no picture, or one that cannot be shown.
        and what `Frames.frame` raises.
        """
        key = ("picture", tag_of(instance), number, wanted)
        return self._frames.cache.once(key, lambda: self._encoded(instance, number, wanted))

    def shown(self, instance: Instance, number: int, wanted: Picture) -> np.ndarray:
        """The same as (rows, columns[, 3]) of uint8; what was compressed with loss says so in a corner,
        with the ratio."""
        image = self._frames.image(instance)
        box = _box(image, wanted.viewport)
        facts = Facts(image.pixel, image.photometric_interpretation, image.planar_configuration,
                      self._metadata.json(instance), lambda path: self._metadata.bulk(instance, path)[1])
        top, left, height, width = box
        rows, columns = image.pixel.rows or 0, image.pixel.columns or 0
        raw = None
        if height * width * 2 <= rows * columns and wanted.window is not None:
            raw = self._frames.region(instance, number, box)     # what lies outside need not be decoded
        if raw is not None:
            picture = shown(raw, (height, width), facts, number - 1, wanted.window)
        else:
            raw, image = self._frames.native(instance, number)
            whole = shown(raw, (rows, columns), facts, number - 1, wanted.window)
            picture = whole[top:top + height, left:left + width]
        picture = _placed(picture, wanted.viewport)
        words = loss_words(image.pixel, instance.transfer_syntax_uid)
        return marked(picture, words) if words else picture

    def _encoded(self, instance: Instance, number: int, wanted: Picture) -> bytes:
        import imagecodecs

        picture = np.ascontiguousarray(self.shown(instance, number, wanted))
        if wanted.kind == PNG:
            return bytes(imagecodecs.png_encode(picture, level=3))
        return bytes(imagecodecs.jpeg8_encode(picture, level=wanted.quality))


def _box(image: Image, viewport: Viewport | None) -> tuple[int, int, int, int]:
    """(top, left, height, width) of what is shown."""
    rows, columns = image.pixel.rows or 0, image.pixel.columns or 0
    if viewport is None:
        return 0, 0, rows, columns
    width = columns - viewport.left if viewport.across is None else abs(viewport.across)
    height = rows - viewport.top if viewport.down is None else abs(viewport.down)
    inside = (viewport.left >= 0 and viewport.top >= 0 and width >= 1 and height >= 1
              and viewport.left + width <= columns and viewport.top + height <= rows)
    if not inside:
        raise IdentifierInvalid(f"the viewport is not inside of the image of {columns} x {rows} pixels")
    return viewport.top, viewport.left, height, width


def _placed(picture: np.ndarray, viewport: Viewport | None) -> np.ndarray:
    if viewport is None:
        return picture
    if (viewport.across or 0) < 0:
        picture = picture[:, ::-1]
    if (viewport.down or 0) < 0:
        picture = picture[::-1]
    sides = (viewport.width, viewport.height)
    if min(sides) < 1 or max(sides) > LARGEST_SIDE:
        raise IdentifierInvalid(f"a viewport has 1 to {LARGEST_SIDE} pixels a side")
    rows, columns = fitted(picture.shape[0], picture.shape[1], viewport.height, viewport.width)
    if rows * columns > LARGEST_AREA:
        raise IdentifierInvalid(f"a scaled picture has at most {LARGEST_AREA} pixels")
    return scaled(picture, rows, columns)
