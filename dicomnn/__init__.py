"""dicomnn: a DICOM node that keeps images small with a learned lossless codec.

The front door; importing it starts nothing and loads nothing heavy.

    dataset = dicomnn.read("image.dcm")           # an ordinary pydicom Dataset, coded or not
    payload = dicomnn.encode(array)               # bytes
    array = dicomnn.decode(payload)               # the same array
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pydicom

__all__ = ["decode", "encode", "read"]


def read(path: str | PathLike[str], *, threads: int = 1) -> pydicom.Dataset:
    """The data set of a DICOM file as an ordinary pydicom Dataset with Pixel Data, coded by us or not.

    Raises types of ``dicomnn.errors`` only (NotDicom, PrivateBlockDamaged, PayloadCorrupt, UnknownModel ...)
    and OSError.
    """
    from dicomnn.coded.restore import open_dataset
    from dicomnn.shelf import default_shelf

    return open_dataset(Path(path), default_shelf().get, threads=threads)


def encode(
    array: np.ndarray,
    *,
    bits_stored: int | None = None,
    profile: str = "lossless",
    effort: str = "default",
    threads: int = 1,
) -> bytes:
    """The payload of an image (rows, columns) or (frames, rows, columns) of 8 or 16 bit integers.

    `bits_stored` is the number of low bits in use (default: all); `profile` 'lossless', 'bounded:N', or
    'lossy:ratio=R', 'lossy:psnr=P' and 'lossy:ssim=S' (no cap and no rule of the node applies to an array).
    Raises SamplesInvalid, UsageError, PromiseNotKept.
    """
    import numpy as np

    from dicomnn.codec.encode import encode as encode_frames
    from dicomnn.codec.profile import Profile
    from dicomnn.codec.sample import SampleFormat
    from dicomnn.errors import SamplesInvalid
    from dicomnn.shelf import default_shelf

    array = np.asarray(array)
    if array.dtype.kind not in "iu" or array.dtype.itemsize not in (1, 2) or array.ndim not in (2, 3):
        raise SamplesInvalid(
            f"an array of {array.ndim} dimensions of {array.dtype} cannot be encoded",
            cure="Pass (rows, columns) or (frames, rows, columns) of int8, uint8, int16 or uint16.",
        )
    bits = array.dtype.itemsize * 8
    stored = bits if bits_stored is None else bits_stored
    words = array.astype(array.dtype.newbyteorder("="), copy=False).view(f"u{bits // 8}")
    shelf, wanted = default_shelf(), Profile.parse(profile)
    frames = words[np.newaxis] if words.ndim == 2 else words
    sample_format = SampleFormat(
        bits_allocated=bits, bits_stored=stored, high_bit=stored - 1, signed=array.dtype.kind == "i"
    )
    if wanted.kind == "lossy":
        from dicomnn.codec.lossy_encode import Aim, encode_promised

        aim = Aim(wanted, sample_format, len(frames))
        return bytes(encode_promised(frames, aim, shelf.lossy.newest(), threads=threads).payload)
    payload = encode_frames(
        frames,
        sample_format,
        profile=wanted,
        model=shelf.newest() if shelf.ids() else None,
        effort=effort,
        threads=threads,
    )
    return bytes(payload)


def decode(payload: bytes | memoryview, *, threads: int = 1) -> np.ndarray:
    """The image of a payload as (frames, rows, columns), signed when it was signed; exact when lossless.

    Raises the PayloadError family and UnknownModel.
    """
    from dicomnn.codec.decode import decode as decode_frames
    from dicomnn.codec.decode import read_header
    from dicomnn.shelf import default_shelf

    header = read_header(payload)
    words = decode_frames(payload, default_shelf().get, threads=threads)
    return words.view(f"i{words.dtype.itemsize}") if header.sample_format.signed else words
