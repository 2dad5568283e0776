"""Real and odd files as they go over the wire, and whether two data sets say the same."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
from pydicom.filereader import read_dataset

from dicomnn.flow.part10 import file_prefix
from tests.scp.peer import BIG, IMPLICIT, Item

DICOMDIR = "1.2.840.10008.1.3.10"


def split(raw: bytes) -> tuple[dict[int, bytes], bytes]:
    """File Meta by element, and the data set's bytes."""
    assert raw[128:132] == b"DICM"
    meta, at = {}, 132
    while raw[at:at + 2] == b"\2\0":
        element, vr = int.from_bytes(raw[at + 2:at + 4], "little"), raw[at + 4:at + 6]
        wide = vr in (b"OB", b"UN", b"OW", b"SQ", b"UT")
        start = at + (12 if wide else 8)
        length = int.from_bytes(raw[start - (4 if wide else 2):start], "little")
        meta[element] = raw[start:start + length]
        at = start + length
    return meta, raw[at:]


def items(folder: Path) -> Iterator[tuple[Path, Item]]:
    """What can be sent: File Meta with class, instance and syntax, of which none is too long for DIMSE."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        try:
            meta, data = split(path.read_bytes())
            sop_class, instance, syntax = (meta[e].rstrip(b"\0 ").decode("ascii") for e in (2, 3, 0x10))
        except (AssertionError, KeyError, UnicodeDecodeError):
            continue
        if not data or not all((sop_class, instance, syntax)) or len(instance) > 64 or sop_class == DICOMDIR:
            continue
        yield path, Item(sop_class, instance, syntax, data + b"\0" * (len(data) % 2))


def waves(found: Iterable[Item]) -> list[list[Item]]:
    """Lists in which no UID occurs twice: the collection has several files of one UID."""
    result: list[list[Item]] = []
    for item in found:
        place = next((w for w in result if all(i.instance != item.instance for i in w)), None)
        if place is None:
            result.append(place := [])
        if all(item not in w for w in result):
            place.append(item)
    return [w for w in result if w]


# ------------------------------------------------------------------ the same in another syntax
PIXELS = {0x7FE00000, 0x7FE00001, 0x7FE00002, 0x7FE00003, 0x7FE00010, 0x00280004, 0x00280006}


def opened(item: Item) -> pydicom.Dataset:
    """The data set as pydicom reads it."""
    uid = pydicom.uid.UID(item.syntax)
    deflated = uid == pydicom.uid.DeflatedExplicitVRLittleEndian
    raw = _inflated(item.data) if deflated else item.data
    dataset = read_dataset(io.BytesIO(raw), item.syntax == IMPLICIT, item.syntax != BIG)
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid
    return dataset


def _inflated(raw: bytes) -> bytes:
    import zlib

    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(raw)


def verdict(sent: Item, came: Item) -> str:
    """How `came` is like `sent`: 'bytes', 'values', 'pixels' (decoded, equal to another decoder's), 'lossy
    pixels' (decoded, within what decoders of lossy JPEG differ by), 'unproven' (nobody else decodes it); or
    'DIFFERENT: ...'."""
    if (sent.syntax, sent.data) == (came.syntax, came.data):
        return "bytes"
    a, b = opened(sent), opened(came)
    difference = _first_difference(_elements(a, sent.syntax == BIG), _elements(b, False))
    if difference and not _same_to_dcmtk(sent, came):
        return f"DIFFERENT: {difference}"
    compressed = "PixelData" in a and a["PixelData"].is_undefined_length
    if not compressed:
        return "values" if _same_words(a, b, sent.syntax == BIG) else "DIFFERENT: pixel data"
    reference = _decoded(sent, a)
    if reference is None:
        return "unproven"
    ours = np.asarray(b.pixel_array)
    if reference.shape != ours.shape:
        return f"DIFFERENT: pixels of shape {ours.shape}, not {reference.shape}"
    if np.array_equal(reference, ours):
        return "pixels"
    off = np.abs(reference.astype(np.int64) - ours).mean()
    return "lossy pixels" if off < 2 else f"DIFFERENT: pixels are off by {off:.1f}"


def _decoded(item: Item, dataset: pydicom.Dataset) -> np.ndarray | None:
    """Pixels by a decoder that the node does not use: DCMTK's, those of pydicom's plugins, OpenJPH; None:
    nobody decodes them."""
    number = int(dataset.get("NumberOfFrames", 1) or 1)
    by_dcmtk = _by_dcmtk(item)
    if by_dcmtk is not None:
        return by_dcmtk
    try:
        return np.asarray(dataset.pixel_array)
    except Exception:  # plugins raise what they like
        pass
    try:
        frames = [imagecodecs.htj2k_decode(frame) for frame in
                  pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=number)]
        return np.stack(frames) if number > 1 else np.asarray(frames[0])
    except Exception:
        return None


def _by_dcmtk(item: Item) -> np.ndarray | None:
    """Where DCMTK is installed, and decodes this syntax."""
    number = item.syntax.rsplit(".", 1)[-1]
    tools = {"dcmdjpeg": ("50", "51", "57", "70"), "dcmdjpls": ("80", "81"), "dcmdrle": ("5",)}
    tool = next((name for name, numbers in tools.items() if number in numbers), None)
    if tool is None or shutil.which(tool) is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.dcm", Path(folder) / "out.dcm"
        source.write_bytes(file_prefix(item.sop_class, item.instance, item.syntax) + item.data)
        subprocess.run([tool, str(source), str(target)], capture_output=True)
        try:
            return np.asarray(pydicom.dcmread(target).pixel_array)
        except Exception:  # DCMTK did not take it, or pydicom not what it made
            return None


def _same_to_dcmtk(sent: Item, came: Item) -> bool:
    """What pydicom reads otherwise than DCMTK does: equal when DCMTK dumps both alike, pixels apart."""
    if shutil.which("dcmdump") is None:
        return False
    dumps, unknown = [], set()
    for item in (sent, came):
        with tempfile.NamedTemporaryFile() as file:
            file.write(file_prefix(item.sop_class, item.instance, item.syntax) + item.data)
            file.flush()
            done = subprocess.run(["dcmdump", "-q", "+L", "+E", file.name], capture_output=True, text=True,
                                  errors="replace")
        lines = re.findall(r"^ *\(([0-9a-f]{4},[0-9a-f]{4})\) (\S\S) (.*?) +# ", done.stdout, re.MULTILINE)
        unknown |= {tag for tag, vr, _ in lines if vr == "??"}     # shown as bytes
        dumps.append([(tag, value) for tag, _, value in lines
                      if not tag.startswith(("0002", "7fe0", "fffe")) and not tag.endswith(",0000")
                      and "Sequence" not in value])
    one, other = ([(tag, value) for tag, value in dump if tag not in unknown] for dump in dumps)
    return bool(one) and one == other


def _same_words(a: pydicom.Dataset, b: pydicom.Dataset, big: bool) -> bool:
    for keyword, size in (("PixelData", 2), ("FloatPixelData", 4), ("DoubleFloatPixelData", 8)):
        one, other = (bytes(d[keyword].value or b"") if keyword in d else b"" for d in (a, b))
        if big and (keyword != "PixelData" or a["PixelData"].VR == "OW"):
            one = np.frombuffer(one[:len(one) // size * size], f">u{size}").astype(f"<u{size}").tobytes()
        if one + b"\0" * (len(one) % 2) != other:
            return False
    return True


def _elements(dataset: pydicom.Dataset, big: bool) -> Iterator[tuple[int, Any]]:
    """(tag, value) of everything but pixels and group lengths: bytes as they stand; items as lists. Of big
    endian data sets the decoded values."""
    for tag in sorted(dataset.keys()):
        if int(tag) in PIXELS or tag.element == 0:
            continue
        raw = dataset.get_item(tag)
        if raw.VR == "SQ" or isinstance(raw.value, (pydicom.sequence.Sequence, list)):
            yield int(tag), [list(_elements(item, big)) for item in dataset[tag].value or ()]
        elif isinstance(raw.value, bytes) and not big:
            yield int(tag), raw.value.rstrip(b" \0")
        else:
            yield int(tag), None           # decoded, or in another byte order: looked at by its tag alone


def _first_difference(a: Iterator[tuple[int, Any]], b: Iterator[tuple[int, Any]]) -> str:
    one, other = dict(a), dict(b)
    if set(one) != set(other):
        return f"elements {sorted(map(hex, set(one) ^ set(other)))[:3]}"
    for tag, value in one.items():
        there = other[tag]
        if isinstance(value, list) and isinstance(there, list):
            if len(value) != len(there):
                return f"{tag:08X} has {len(there)} items, not {len(value)}"
            for left, right in zip(value, there, strict=True):
                inner = _first_difference(iter(left), iter(right))
                if inner:
                    return f"{tag:08X}: {inner}"
        elif isinstance(value, bytes) and isinstance(there, bytes) and value != there:
            return f"{tag:08X}"
    return ""
