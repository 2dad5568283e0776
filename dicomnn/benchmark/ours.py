"""Our side: a file in, a stored object out and back, by the very functions that the node uses.

Bytes are those of the stored file less every byte of the original that is no pixel: the manifest, the
private block's elements and the payload's header count as ours. An image that would not become smaller stays
as it is, and counts with its uncompressed pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from dicomnn.benchmark.clock import Clock
from dicomnn.benchmark.planes import Opened, write_native
from dicomnn.codec.decode import decode
from dicomnn.codec.encode import encode
from dicomnn.codec.model import Model
from dicomnn.codec.profile import EFFORTS, Profile
from dicomnn.codec.sample import SampleFormat, stored_values
from dicomnn.coded.seal import seal
from dicomnn.coded.stored import StoredObject
from dicomnn.errors import UnknownModel, UsageError, VerificationFailed
from dicomnn.shelf import default_shelf

PREFIX = "dicomnn:"


@dataclass(frozen=True)
class Variant:
    """One way to use our codec: an effort and a profile. Its key is 'dicomnn:EFFORT:PROFILE'."""

    effort: str
    profile: Profile

    @classmethod
    def parse(cls, key: str) -> Variant:
        """Raises UsageError."""
        effort, _, profile = key.removeprefix(PREFIX).partition(":")
        if effort not in EFFORTS:
            raise UsageError(f"'{effort}' is no effort; the efforts are {', '.join(EFFORTS)}")
        return cls(effort, Profile.parse(profile))

    @property
    def key(self) -> str:
        return f"{PREFIX}{self.effort}:{self.profile}"

    @property
    def label(self) -> str:
        return f"dicomnn {self.effort}" + ("" if self.profile.bound == 0 else f" {self.profile}")


@dataclass(frozen=True)
class Coded:
    """`size` as the module says; `payload` is the payload alone. `tiles` counts winners by method."""

    size: int
    payload: int
    tiles: dict[str, int]
    kept: bool


@cache
def the_model(name: str) -> Model:
    """The model of an id, of a folder or file that holds one, or the newest (''). Raises UsageError."""
    shelf = default_shelf()
    if not name:
        return shelf.newest()
    path = Path(name)
    if path.is_dir():
        path = path / "model.bin"
    if path.is_file():
        return Model.from_bytes(path.read_bytes())
    try:
        return shelf.get(name)
    except UnknownModel as error:
        raise UsageError(f"'{name}' is no model on the shelf and no folder that holds one") from error


def models(name: str) -> Callable[[str], Model]:
    """What decode takes as models, the named one included."""
    model = the_model(name)
    return lambda wanted: model if wanted == model.id else default_shelf().get(wanted)


@cache
def warm(key: str, model: str) -> None:
    """Load the model and the compiled kernels, so that no image pays for it."""
    variant = Variant.parse(key)
    y, x = np.mgrid[0:64, 0:96]
    frames = (500 + 9 * y + 200 * np.sin(x / 7)).astype(np.uint16)[None]
    payload = bytes(
        encode(
            frames,
            SampleFormat(16, 16, 15, False),
            profile=variant.profile,
            model=the_model(model),
            effort=variant.effort,
        )
    )
    decode(payload, models(model))


def measure(opened: Opened, variant: Variant, model: str, folder: Path, clock: Clock) -> Coded | None:
    """One unit through seal and back. None where the node codes this image without loss instead.

    Encode time has everything that ``seal`` does: reading, coding, writing, decoding, comparing; decode time
    is from the stored file to frames whose digest was checked. Raises VerificationFailed and what seal does.
    """
    source = opened.unit.path
    if not opened.native:
        source = folder / "native.dcm"
        write_native(opened, source)
    target = folder / "coded.dcm"
    pixels = len(opened.unit.frames) * opened.original.shape.frame_bytes
    with clock.encode():
        sealed = seal(
            source,
            target,
            profile=variant.profile,
            model=the_model(model),
            models=models(model),
            effort=variant.effort,
        )
    if sealed.profile != str(variant.profile):
        return None
    if sealed.kind == "kept":
        if sealed.reason != "not-smaller":
            raise VerificationFailed(f"the file was kept: {sealed.detail}")
        return Coded(pixels, pixels, {}, True)
    _decode(opened, variant, model, target, clock)
    surroundings = sealed.bytes_before - pixels
    tiles = {name: count for name, count in sealed.facts()["tiles"].items() if count}
    return Coded(sealed.bytes_after - surroundings, sealed.payload_bytes, tiles, False)


def _decode(opened: Opened, variant: Variant, model: str, target: Path, clock: Clock) -> None:
    with clock.decode():
        stored = StoredObject(target)
    with stored:
        frames = stored.frames(models(model))
        for words in opened.words():
            with clock.decode():
                frame = next(frames)
            before, after = (stored_values(part, opened.sample_format) for part in (words, frame))
            if int(np.abs(before - after).max()) > variant.profile.bound:
                raise VerificationFailed("a decoded frame is not what was coded")
        with clock.decode():
            rest = next(frames, None)  # the digest is checked behind the last frame
        if rest is not None:
            raise VerificationFailed("more frames were decoded than coded")
