"""One losslessly compressed frame -> raw words. Damaged, lossy or doubtful frames are refused.

The stream's own header is compared with the data set before a decoder sees the frame, so nothing larger
than the image is allocated. JPEG lossless is decoded by two independent decoders, which must agree: its
decoders have differed on predictors and on 16 bit differences.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import imagecodecs
import numpy as np

from dicomnn.dicom import codestreams
from dicomnn.dicom.attributes import ImagePixel
from dicomnn.dicom.codestreams import Stream
from dicomnn.errors import FrameUndecodable

Decoder = Callable[[bytes], np.ndarray]


def decode_frame(data: bytes, decoder: str, image: ImagePixel) -> np.ndarray:
    """(rows, columns) of uint8 or uint16, as `image` says; `decoder` as in the table of syntaxes.

    Raises FrameUndecodable.
    """
    if not image.rows or not image.columns or image.bits_allocated not in (8, 16):
        raise FrameUndecodable("Rows, Columns or Bits Allocated are not those of an 8 or 16 bit image")
    if decoder == "rle":
        return _rle(data, image.rows, image.columns, image.bits_allocated // 8)
    stream, decoded = _DECODERS[decoder](data, image)
    if decoded.ndim != 2 or decoded.shape != (image.rows, image.columns):
        raise FrameUndecodable(f"the decoder gave an array of {decoded.shape}")
    if decoded.dtype.kind not in "iu":
        raise FrameUndecodable(f"the decoder gave values of {decoded.dtype}")
    return words(decoded, image, stream)


def words(decoded: np.ndarray, image: ImagePixel, stream: Stream) -> np.ndarray:
    """Decoded values as the words that native Pixel Data would hold, (rows, columns) of uint8 or uint16.

    Signed values are sign extended to the whole word. A stream that disagrees with Pixel Representation
    about the sign is read by the data set: its bits are the stored value (as toolkits do, for instance
    pydicom). Raises FrameUndecodable where bits are missing or too many.
    """
    allocated = image.bits_allocated or 16
    stored = image.bits_stored or allocated
    precision = stream.precision if stream.precision is not None else decoded.dtype.itemsize * 8
    if precision > allocated:
        raise FrameUndecodable(f"the frame has {precision} bits, the data set allocates {allocated}")
    values = decoded.astype(np.int32)
    if image.pixel_representation == 1 and not stream.signed and precision < allocated:
        if stream.precision is None or precision < stored:
            raise FrameUndecodable(f"signed values of {stored} bits in a frame of {precision} unsigned bits: "
                                   "which are negative cannot be told")
        if precision == stored and image.high_bit in (None, stored - 1):
            half = 1 << (precision - 1)
            values = (values ^ half) - half
    elif image.pixel_representation != 1 and stream.signed:
        values &= (1 << precision) - 1
    return (values & ((1 << allocated) - 1)).astype(np.uint8 if allocated == 8 else np.uint16)


def _require_size(stream: Stream, image: ImagePixel) -> None:
    """Before decoding: a stream of another size would cost memory, and could not be used."""
    if (stream.rows, stream.columns) != (image.rows, image.columns):
        raise FrameUndecodable(f"the frame is {stream.columns} x {stream.rows} pixels, the data set says "
                               f"{image.columns} x {image.rows}")
    if stream.components != 1:
        raise FrameUndecodable(f"the frame has {stream.components} components, the data set one")


def _call(name: str, decode: Decoder, data: bytes) -> np.ndarray:
    try:
        return np.asarray(decode(data))
    except Exception as error:  # the decoders raise classes of their own, also for memory
        raise FrameUndecodable(f"{name}: {error}") from error


def _jpeg_lossless(data: bytes, image: ImagePixel) -> tuple[Stream, np.ndarray]:
    stream = codestreams.jpeg(data, jpeg_ls=False)
    _require_size(stream, image)
    first = _call("libjpeg-turbo", imagecodecs.jpeg_decode, data)
    second = _call("jpegsof3", imagecodecs.jpegsof3_decode, data)
    if not np.array_equal(first, second):
        raise FrameUndecodable("two decoders of JPEG lossless give different pixels")
    return stream, first


def _jpeg_ls(data: bytes, image: ImagePixel) -> tuple[Stream, np.ndarray]:
    stream = codestreams.jpeg(data, jpeg_ls=True)
    _require_size(stream, image)
    return stream, _call("CharLS", imagecodecs.jpegls_decode, data)


def _jpeg_2000(data: bytes, image: ImagePixel) -> tuple[Stream, np.ndarray]:
    stream = codestreams.jpeg_2000(data)
    _require_size(stream, image)
    return stream, _call("OpenJPEG", imagecodecs.jpeg2k_decode, data)


def _jpeg_xl(data: bytes, image: ImagePixel) -> tuple[Stream, np.ndarray]:
    stream = codestreams.jpeg_xl(data)
    _require_size(stream, image)
    return stream, _call("libjxl", imagecodecs.jpegxl_decode, data)


def _rle(data: bytes, rows: int, columns: int, word_bytes: int) -> np.ndarray:
    """RLE: a segment per byte of the word, most significant first (PS3.5 annex G)."""
    planes = np.ascontiguousarray(rle_planes(data, word_bytes, rows * columns)[:, ::-1])
    return planes.reshape(-1).view("<u2" if word_bytes == 2 else "u1").astype(
        np.uint16 if word_bytes == 2 else np.uint8, copy=False).reshape(rows, columns)


def rle_planes(data: bytes, segments: int, size: int) -> np.ndarray:
    """The segments of an RLE frame as columns: (size, segments) of uint8. Raises FrameUndecodable."""
    if len(data) < 64:
        raise FrameUndecodable("the RLE header is cut off")
    count, *offsets = struct.unpack_from("<16L", data)
    if count != segments or count > 15:
        raise FrameUndecodable(f"the RLE header names {count} segments, {segments} are due")
    ends = [*offsets[1:count], len(data)]
    if offsets[0] < 64 or any(not start < end <= len(data)
                              for start, end in zip(offsets[:count], ends, strict=True)):
        raise FrameUndecodable("the RLE header's offsets do not fit the frame")
    planes = np.empty((size, segments), dtype=np.uint8)
    for number, (start, end) in enumerate(zip(offsets[:count], ends, strict=True)):
        planes[:, number] = np.frombuffer(_unpacked(data[start:end], size, number), np.uint8, size)
    return planes


def _unpacked(segment: bytes, size: int, number: int) -> bytes:
    """`size` bytes of a PackBits segment; what follows is padding (PS3.5 G.3.1)."""
    unpacked, position = bytearray(), 0
    while len(unpacked) < size:
        if position >= len(segment):
            raise FrameUndecodable(f"RLE segment {number} gives {len(unpacked)} of {size} bytes")
        control = segment[position]
        if control < 128:
            unpacked += segment[position + 1:position + 2 + control]
            position += 2 + control
        else:
            if control > 128:
                unpacked += segment[position + 1:position + 2] * (257 - control)
            position += 2 if control > 128 else 1
    if len(unpacked) != size or position > len(segment):
        raise FrameUndecodable(f"RLE segment {number} does not end with the frame")
    return bytes(unpacked)


_DECODERS: dict[str, Callable[[bytes, ImagePixel], tuple[Stream, np.ndarray]]] = {
    "jpeg-lossless": _jpeg_lossless, "jpeg-ls": _jpeg_ls, "jpeg-2000": _jpeg_2000, "jpeg-xl": _jpeg_xl,
}
