"""Single frames on their way out, in every state of an instance; the rest of a series is fetched ahead.

Frames that must be decoded are decoded in threads of the caller's process: the kernels give up Python's lock
(docs/decisions/0012). A cold frame gets every core that no other frame is using.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dicomnn.coded.pixels import Pixels
from dicomnn.coded.transcode import NotCompressible, compress_frame
from dicomnn.dicom.attributes import ImagePixel
from dicomnn.dicom.syntaxes import COMPRESSIONS, EXPLICIT_LITTLE, syntax
from dicomnn.errors import FrameUndecodable, InstanceNotFound
from dicomnn.flow.ahead import Ahead
from dicomnn.flow.byte_cache import ByteCache
from dicomnn.flow.opening import Archive
from dicomnn.flow.retrieve import NoCommonSyntax

if TYPE_CHECKING:
    from dicomnn.archive.index import Instance

AS_STORED = "*"
REMEMBERED = 20000          # descriptions of images
_TRIES = 4


@dataclass(frozen=True)
class Image:
    """What an instance's frames are once they are native. `photometric_interpretation` and
    `planar_configuration` are those of what `Frames.native` gives."""

    pixel: ImagePixel
    frames: int
    photometric_interpretation: str
    planar_configuration: int


@dataclass(frozen=True)
class Frame:
    """One frame's bytes in a transfer syntax; native ones are little endian."""

    value: bytes
    transfer_syntax: str


class _Swapped(Exception):
    """A worker has changed the object meanwhile: ask the index again."""


def tag_of(instance: Instance) -> str:
    """What names exactly these pixels and attributes: the digest of what came, and the UID it has now."""
    return f"{instance.digest[:32]}-{instance.sop_instance_uid}"


def own_syntax(instance: Instance) -> str:
    """Of the frames that need no conversion."""
    kind = syntax(instance.transfer_syntax_uid)
    native = instance.state.is_coded or kind.native or kind.deflated
    return EXPLICIT_LITTLE if native else instance.transfer_syntax_uid


class Frames:
    """The way out for single frames. Thread-safe; `close` ends what runs ahead."""

    def __init__(self, archive: Archive, cache_bytes: int = 512 << 20, cores: int | None = None) -> None:
        self.archive = archive
        self.cache = ByteCache(cache_bytes)
        self._cores = cores or os.cpu_count() or 1
        self._lock = threading.Lock()
        self._active = 0
        self._images: OrderedDict[str, Image] = OrderedDict()
        self._warmed = False
        self._idle = threading.Condition(self._lock)
        self._ahead = Ahead(archive, self._fetch, self._wait_for_rest, self._is_there, cache_bytes // 2,
                            self._cores)

    def close(self) -> None:
        self._ahead.close()
        with self._idle:
            self._idle.notify_all()

    def warm_soon(self) -> None:
        """Load the codec beside everything else, once: the first who looks at an image need not wait."""
        with self._lock:
            if self._warmed:
                return
            self._warmed = True
        threading.Thread(target=self._warm, name="warm", daemon=True).start()

    def _warm(self) -> None:
        with contextlib.suppress(Exception):    # who decodes will be told what is wrong
            from dicomnn.warm import warm

            warm(self.archive.shelf.newest())

    # ------------------------------------------------------------------ finding
    def find(self, study: str, series: str, uid: str) -> Instance:
        """The instance, if it is of this study and series. Raises InstanceNotFound, IndexFailed."""
        instance = self.archive.index.get(uid)
        if instance.state.value == "deleted" or (study and instance.study_instance_uid != study) or (
                series and instance.series_instance_uid != series):
            raise InstanceNotFound("there is no such instance", subject=uid)
        return instance

    def listed(self, study: str, series: str = "") -> Iterator[Instance]:
        """The instances of a study or series, in order of arrival, as they are now. Raises IndexFailed."""
        return self.archive.index.instances(study=study, series=series or None)

    # ------------------------------------------------------------------ frames
    def frame(self, instance: Instance, number: int, accepted: Sequence[str]) -> Frame:
        """Frame ``number``, counted from 1, in the first syntax of ``accepted`` in which it can be given;
        `AS_STORED` is whatever needs no conversion.

        Raises
        ------
        NoCommonSyntax
            In none of them.
        UsageError
            There is no such frame.
        FrameUndecodable, CodecError, CodedObjectError
            There is no image, or it is damaged.
        InstanceNotFound, ObjectMissing, StoreFailed, IndexFailed
        """
        for _ in range(_TRIES):
            try:
                return self._frame(instance, number, accepted)
            except _Swapped:
                instance = self.archive.index.get(instance.sop_instance_uid)
        raise FrameUndecodable("it was coded again and again while it was read",
                               subject=instance.sop_instance_uid)

    def _frame(self, instance: Instance, number: int, accepted: Sequence[str]) -> Frame:
        own = own_syntax(instance)
        trouble: FrameUndecodable | None = None
        for wanted in accepted:
            uid = own if wanted == AS_STORED else wanted
            try:
                if uid == own:
                    return Frame(self._own(instance, number, own), own)
                if uid == EXPLICIT_LITTLE:
                    return Frame(self._converted(instance, number, uid, _native), uid)
                if uid in COMPRESSIONS.values():
                    return Frame(self._compressed(instance, number, own, uid), uid)
            except NotCompressible:
                continue
            except FrameUndecodable as error:
                trouble = error
        if trouble is not None:
            raise trouble
        raise NoCommonSyntax("it can be given in none of the syntaxes that were asked for",
                             subject=instance.sop_instance_uid)

    def native(self, instance: Instance, number: int) -> tuple[bytes, Image]:
        """Frame ``number``, counted from 1, uncompressed, and what it is. Raises as `frame` does."""
        value = self.frame(instance, number, (EXPLICIT_LITTLE,)).value
        return value, self.image(instance)

    def image(self, instance: Instance) -> Image:
        """What the frames are. Raises as `frame` does."""
        with self._lock:
            known = self._images.get(tag_of(instance))
        if known is None:
            with self._opened(instance) as (pixels, _):
                known = self._remember(instance, pixels)
        return known

    def region(self, instance: Instance, number: int, box: tuple[int, int, int, int]) -> bytes | None:
        """(top, left, height, width) of a coded frame as native bytes, from the tiles there alone; None where
        taking it from the whole frame is no more work."""
        if not instance.state.is_coded or (
                "frame", tag_of(instance), number, EXPLICIT_LITTLE) in self.cache:
            return None
        with self._opened(instance) as (pixels, _):
            self._remember(instance, pixels)
            words = pixels.region(number - 1, *box) if pixels.coded else None
        return None if words is None else words.astype(words.dtype.newbyteorder("<"), copy=False).tobytes()

    # ------------------------------------------------------------------ making them
    def _own(self, instance: Instance, number: int, own: str) -> bytes:
        key = ("frame", tag_of(instance), number, own)
        if not instance.state.is_coded:     # it lies on disk as it is; the cache is for what takes work
            kept = self.cache.get(key)
            return kept if kept is not None else self._read(instance, number, own)
        kept = self.cache.get(key)
        if kept is None:
            self._ahead.missed(instance, number)
            kept = self.cache.once(key, lambda: self._decoded(instance, number))
        return kept

    def _read(self, instance: Instance, number: int, own: str) -> bytes:
        with self._opened(instance) as (pixels, _):
            if pixels.transfer_syntax != own:
                raise _Swapped
            self._remember(instance, pixels)
            return pixels.stored(number - 1)

    def _decoded(self, instance: Instance, number: int) -> bytes:
        with self._working() as threads, self._opened(instance) as (pixels, _):
            if pixels.encapsulated:
                raise _Swapped
            self._remember(instance, pixels)
            return pixels.stored(number - 1, threads=threads)

    def _converted(self, instance: Instance, number: int, uid: str,
                   convert: Callable[[Pixels, int, int], bytes]) -> bytes:
        def make() -> bytes:
            with self._working() as threads, self._opened(instance) as (pixels, _):
                self._remember(instance, pixels)
                return convert(pixels, number - 1, threads)

        return self.cache.once(("frame", tag_of(instance), number, uid), make)

    def _compressed(self, instance: Instance, number: int, own: str, uid: str) -> bytes:
        if own == EXPLICIT_LITTLE and instance.state.is_coded:
            self._own(instance, number, own)        # into the cache, where `packed` finds it

        def packed(pixels: Pixels, place: int, threads: int) -> bytes:
            import numpy as np

            image = pixels.image
            if (image.samples_per_pixel or 1) != 1 or image.bits_allocated not in (8, 16):
                raise NotCompressible("it is not a single-sample image of 8 or 16 bits")
            kept = self.cache.get(("frame", tag_of(instance), number, EXPLICIT_LITTLE))
            words = pixels.words(place, threads=threads) if kept is None else np.frombuffer(
                kept, f"<u{image.bits_allocated // 8}").reshape(image.rows or 0, image.columns or 0)
            return compress_frame(words, image, uid, instance.sop_instance_uid)

        return self._converted(instance, number, uid, packed)

    @contextlib.contextmanager
    def _opened(self, instance: Instance) -> Iterator[tuple[Pixels, Path]]:
        with self.archive.pin_current(instance.sop_instance_uid) as (_, path), \
                Pixels(path, self.archive.model) as pixels:
            yield pixels, path

    def _remember(self, instance: Instance, pixels: Pixels) -> Image:
        """What native frames will be, without decoding one: colours that decoding converts become RGB."""
        photometric = pixels.image.photometric_interpretation or ""
        planar = pixels.image.planar_configuration or 0
        if pixels.encapsulated:
            planar = 0
            if (pixels.image.samples_per_pixel or 1) == 3 and not pixels.transfer_syntax.endswith(
                    (".5", ".8.1", ".4.80", ".4.81", ".4.57", ".4.70")):
                photometric = "RGB"
        image = Image(pixels.image, pixels.frames, photometric, planar)
        with self._lock:
            self._images[tag_of(instance)] = image
            while len(self._images) > REMEMBERED:
                self._images.popitem(last=False)
        return image

    # ------------------------------------------------------------------ who may use the processor
    @contextlib.contextmanager
    def _working(self) -> Iterator[int]:
        """A decoding that somebody waits for; the number of threads that it should use."""
        with self._lock:
            self._active += 1
            threads = max(1, self._cores // self._active)
        try:
            yield threads
        finally:
            with self._idle:
                self._active -= 1
                self._idle.notify_all()

    def _wait_for_rest(self, closed: Callable[[], bool]) -> None:
        """Until nobody waits for a decoding: what is fetched ahead comes second."""
        with self._idle:
            while self._active and not closed():
                self._idle.wait(1.0)

    def _is_there(self, instance: Instance, number: int) -> bool:
        return ("frame", tag_of(instance), number, EXPLICIT_LITTLE) in self.cache

    def _fetch(self, instance: Instance, number: int) -> int:
        """One frame ahead of its request; its bytes."""
        def make() -> bytes:
            with self._opened(instance) as (pixels, _):
                if pixels.encapsulated:
                    raise _Swapped
                self._remember(instance, pixels)
                return pixels.stored(number - 1)

        return len(self.cache.once(("frame", tag_of(instance), number, EXPLICIT_LITTLE), make))


def _native(pixels: Pixels, place: int, threads: int) -> bytes:
    return bytes(pixels.native(place, threads=threads).value)
