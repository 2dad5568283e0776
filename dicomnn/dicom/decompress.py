"""Encapsulated Pixel Data of any kind that we can decode -> native Pixel Data (PS3.5 8.2, A.4).

For a peer that takes nothing compressed. Lossless frames of one sample go through the strict decoders
(`frame_decoders`); what those refuse, colour, and what was compressed with loss is decoded as viewers do.
Colours are converted only where the compression itself did so (the transform of JPEG 2000, YCbCr of lossy
JPEG); what the bytes hold then is what the photometric interpretation says.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import imagecodecs
import numpy as np

from dicomnn.dicom import codestreams
from dicomnn.dicom.attributes import ImagePixel
from dicomnn.dicom.codestreams import Stream
from dicomnn.dicom.encapsulated import frame_spans
from dicomnn.dicom.frame_decoders import decode_frame, rle_planes, words
from dicomnn.dicom.scan import Buffer, Layout
from dicomnn.dicom.syntaxes import syntax
from dicomnn.errors import FrameUndecodable

LIMIT = 2 << 30         # bytes of decoded pixels of one object
_JPEG = "1.2.840.10008.1.2.4."
_LOSSY_JPEG = frozenset({0xC0, 0xC1, 0xC2})        # SOF markers of baseline, extended, progressive
_ADOBE = b"Adobe"


@dataclass(frozen=True)
class Native:
    """A native Pixel Data value in little endian, and what it says about itself where that changed."""

    value: bytes
    vr: str
    photometric_interpretation: str
    samples: int


def native(buffer: Buffer, layout: Layout, image: ImagePixel) -> Native:
    """All frames decoded.

    Raises FrameUndecodable, naming the frame: no decoder, a damaged frame, one that is not what the data set
    says, more than 2 GiB of pixels.
    """
    samples, allocated, frames = _checked(image)
    decoder = _decoder_of(layout.transfer_syntax, image)
    view, pieces = memoryview(buffer), []
    photometric = image.photometric_interpretation or ""
    for number, spans in enumerate(frame_spans(buffer, layout, frames)):
        frame, photometric = _one(view, spans, number, decoder, image)
        pieces.append(frame)
    if allocated == 1:
        bits = np.concatenate([frame.reshape(-1) for frame in pieces])
        value = np.packbits(bits.astype(np.uint8) & 1, bitorder="little").tobytes()
    else:
        value = b"".join(_little(frame) for frame in pieces)
    vr = "OB" if allocated <= 8 else "OW"
    return Native(value + b"\0" * (len(value) % 2), vr, photometric, samples)


def native_frame(buffer: Buffer, layout: Layout, image: ImagePixel, number: int) -> tuple[np.ndarray, str]:
    """Frame `number` (from 0) alone: (rows, columns[, samples]) of raw words, of bits where one is allocated,
    and the photometric interpretation of what they hold.

    Raises FrameUndecodable, as `native` does.
    """
    _, _, frames = _checked(image)
    spans = frame_spans(buffer, layout, frames)[number]
    decoder = _decoder_of(layout.transfer_syntax, image)
    frame, photometric = _one(memoryview(buffer), spans, number, decoder, image)
    return (frame.reshape(image.rows or 0, image.columns or 0) if image.bits_allocated == 1 else frame,
            photometric)


def _checked(image: ImagePixel) -> tuple[int, int, int]:
    """(samples per pixel, bits allocated, frames) of an image whose form and size can be decoded."""
    rows, columns, samples = image.rows, image.columns, image.samples_per_pixel or 1
    allocated = image.bits_allocated
    frames = 1 if image.number_of_frames is None else image.number_of_frames
    if not rows or not columns or frames < 1 or allocated not in (1, 8, 16, 32) or samples not in (1, 3):
        raise FrameUndecodable("the image's size or form is not one that can be decoded")
    if rows * columns * samples * frames * max(1, allocated // 8) > LIMIT:
        raise FrameUndecodable(f"the decoded pixels would have more than {LIMIT} bytes")
    return samples, allocated, frames


def _one(view: memoryview, spans: list[tuple[int, int]], number: int, decoder: Decoder,
         image: ImagePixel) -> tuple[np.ndarray, str]:
    try:
        return decoder(b"".join(view[start:end] for start, end in spans), image)
    except FrameUndecodable as error:
        raise FrameUndecodable(f"frame {number}: {error.message}") from error


def _little(frame: np.ndarray) -> bytes:
    return frame.astype(frame.dtype.newbyteorder("<"), copy=False).tobytes()


Decoder = Callable[[bytes, ImagePixel], tuple[np.ndarray, str]]
"""One frame -> (rows, columns[, samples]) of raw words (bits, when one is allocated), and what they are."""


def _decoder_of(uid: str, image: ImagePixel) -> Decoder:
    kind = syntax(uid)
    number = uid.removeprefix(_JPEG)
    if uid == "1.2.840.10008.1.2.5":
        return _rle
    if uid == "1.2.840.10008.1.2.8.1":
        return _deflated
    if number in ("50", "51", "53", "55", "57", "70"):
        decoder = _jpeg
    elif number in ("80", "81"):
        decoder = _jpeg_ls
    elif number in ("90", "91", "201", "202", "203"):
        decoder = _jpeg_2000
    elif number in ("110", "111", "112"):
        decoder = _jpeg_xl
    else:
        raise FrameUndecodable(f"there is no decoder for {kind.name}")
    name = kind.decoder
    if name is None or (image.samples_per_pixel or 1) != 1 or image.bits_allocated not in (8, 16):
        return decoder

    def strict_first(data: bytes, image: ImagePixel) -> tuple[np.ndarray, str]:
        try:
            return decode_frame(data, name, image), image.photometric_interpretation or ""
        except FrameUndecodable:
            return decoder(data, image)

    return strict_first


def _call(name: str, decode: Callable[[], np.ndarray]) -> np.ndarray:
    try:
        return np.asarray(decode())
    except Exception as error:  # the decoders raise classes of their own, also for memory
        raise FrameUndecodable(f"{name}: {error}") from error


def _require(stream: Stream, image: ImagePixel) -> None:
    """Before decoding: the stream is of the size that the data set says, so nothing larger is allocated."""
    if (stream.rows, stream.columns, stream.components) != (image.rows, image.columns,
                                                            image.samples_per_pixel or 1):
        raise FrameUndecodable(
            f"the frame is {stream.columns} x {stream.rows} pixels of {stream.components} samples, the data "
            f"set says {image.columns} x {image.rows} of {image.samples_per_pixel or 1}")


def _placed(decoded: np.ndarray, image: ImagePixel, stream: Stream) -> np.ndarray:
    """Decoded values as the words that the data set allocates."""
    if decoded.dtype.kind not in "iu":
        raise FrameUndecodable(f"the decoder gave values of {decoded.dtype}")
    if (image.samples_per_pixel or 1) == 1:
        if image.bits_allocated == 1:
            return decoded
        if decoded.shape != (image.rows, image.columns) or image.bits_allocated not in (8, 16):
            raise FrameUndecodable(f"the decoder gave an array of {decoded.shape}")
        return words(decoded, image, stream)
    if decoded.shape != (image.rows, image.columns, 3) or decoded.dtype.itemsize * 8 != image.bits_allocated:
        raise FrameUndecodable(f"the decoder gave an array of {decoded.shape} of {decoded.dtype}")
    return decoded


def _jpeg(data: bytes, image: ImagePixel) -> tuple[np.ndarray, str]:
    stream, process, _ = codestreams.jpeg_header(data)
    _require(stream, image)
    photometric = image.photometric_interpretation or ""
    if stream.components == 1:
        decoded = _call("libjpeg-turbo", lambda: imagecodecs.jpeg_decode(data))
        return _placed(decoded, image, stream), photometric
    if process not in _LOSSY_JPEG:
        decoded = _call("jpegsof3", lambda: imagecodecs.jpegsof3_decode(data))
        return _placed(decoded, image, stream), photometric
    ybr = _is_ybr(data, photometric)
    decoded = _call("libjpeg-turbo", lambda: imagecodecs.jpeg_decode(
        data, colorspace="YCBCR" if ybr else "RGB", outcolorspace="RGB"))
    return _placed(decoded, image, stream), "RGB"


def _is_ybr(data: bytes, photometric: str) -> bool:
    """Whether a lossy JPEG of three components holds YCbCr: Adobe's marker knows, else the data set does."""
    start = data.find(b"\xff\xee", 0, 4096)
    if start >= 0 and data[start + 4:start + 9] == _ADOBE and len(data) > start + 15:
        return data[start + 15] == 1
    return photometric.startswith("YBR")


def _jpeg_ls(data: bytes, image: ImagePixel) -> tuple[np.ndarray, str]:
    stream, process, _ = codestreams.jpeg_header(data)
    if process != 0xF7:
        raise FrameUndecodable(f"the frame is of JPEG process FF{process:02X}, not JPEG-LS")
    _require(stream, image)
    decoded = _call("CharLS", lambda: imagecodecs.jpegls_decode(data))
    return _placed(decoded, image, stream), image.photometric_interpretation or ""


def _jpeg_2000(data: bytes, image: ImagePixel) -> tuple[np.ndarray, str]:
    stream, _ = codestreams.jpeg_2000_header(data)
    _require(stream, image)
    decoded = _call("OpenJPEG", lambda: imagecodecs.jpeg2k_decode(data))
    photometric = image.photometric_interpretation or ""
    return _placed(decoded, image, stream), "RGB" if photometric in ("YBR_RCT", "YBR_ICT") else photometric


def _jpeg_xl(data: bytes, image: ImagePixel) -> tuple[np.ndarray, str]:
    stream = codestreams.jpeg_xl(data)
    _require(Stream(stream.rows, stream.columns, image.samples_per_pixel or 1, None), image)
    decoded = _call("libjxl", lambda: imagecodecs.jpegxl_decode(data))
    photometric = image.photometric_interpretation or ""
    return _placed(decoded, image, stream), "RGB" if photometric in ("XYB", "YBR_FULL_422") else photometric


def _rle(data: bytes, image: ImagePixel) -> tuple[np.ndarray, str]:
    """Segments are the bytes of each sample, most significant first; of one-bit frames, packed bits."""
    rows, columns, samples = image.rows or 0, image.columns or 0, image.samples_per_pixel or 1
    photometric = image.photometric_interpretation or ""
    if image.bits_allocated == 1:
        packed = rle_planes(data, 1, (rows * columns + 7) // 8)
        return np.unpackbits(packed.reshape(-1), bitorder="little")[:rows * columns], photometric
    size = (image.bits_allocated or 8) // 8
    planes = rle_planes(data, samples * size, rows * columns)
    values = planes.reshape(rows * columns, samples, size)[:, :, ::-1]
    decoded = np.ascontiguousarray(values).view(f"<u{size}").reshape(rows, columns, samples)
    return (decoded[..., 0] if samples == 1 else decoded), photometric


def _deflated(data: bytes, image: ImagePixel) -> tuple[np.ndarray, str]:
    """Deflated Image Frame Compression: the native frame, deflated (PS3.5 8.2.16)."""
    rows, columns, samples = image.rows or 0, image.columns or 0, image.samples_per_pixel or 1
    allocated = image.bits_allocated or 8
    size = (rows * columns * samples * allocated + 7) // 8
    try:
        raw = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size + 2)
    except zlib.error as error:
        raise FrameUndecodable(f"the deflated frame is damaged ({error})") from error
    if len(raw) not in (size, size + 1) or raw[size:].strip(b"\0"):
        raise FrameUndecodable(f"the deflated frame has {len(raw)} bytes, {size} are due")
    photometric = image.photometric_interpretation or ""
    if allocated == 1:
        bits = np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little")
        return bits[:rows * columns], photometric
    decoded = np.frombuffer(raw[:size], f"<u{allocated // 8}").reshape(rows, columns, samples)
    if samples == 1:
        return decoded[..., 0], photometric
    if image.planar_configuration == 1:
        decoded = np.moveaxis(decoded.reshape(samples, rows, columns), 0, -1)
    return decoded, photometric
