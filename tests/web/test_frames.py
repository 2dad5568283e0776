"""Frames: the pixels that were sent, one by one, in what the client prefers; the rest comes ahead."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest

from dicomnn.flow.frames import tag_of
from tests.scp.objects import made
from tests.scp.peer import BIG, EXPLICIT, IMPLICIT, image, wait_for
from tests.web.bodies import encapsulated, part10, parts
from tests.web.conftest import Web

NATIVE = f"application/octet-stream; transfer-syntax={EXPLICIT}"
OHIF = 'multipart/related; type="application/octet-stream"; transfer-syntax="*"'


def where(dataset: pydicom.Dataset) -> str:
    return (f"/studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}"
            f"/instances/{dataset.SOPInstanceUID}")


def frames_of(dataset: pydicom.Dataset) -> list[bytes]:
    array = dataset.pixel_array
    array = array if int(dataset.get("NumberOfFrames", 1)) > 1 else array[None]
    return [frame.astype(frame.dtype.newbyteorder("<")).tobytes() for frame in array]


@pytest.mark.parametrize("accept", [None, "*/*", OHIF, "multipart/related; type=application/octet-stream"])
def test_every_frame_of_every_study_is_what_was_sent(
        web: Web, sample_files: list[Path], accept: str | None) -> None:
    for path in sample_files:
        dataset = pydicom.dcmread(path)
        expected = frames_of(dataset)
        numbers = ",".join(str(number) for number in range(1, len(expected) + 1))
        got = parts(web.get(f"{where(dataset)}/frames/{numbers}", accept))
        assert [kind for kind, _ in got] == [NATIVE] * len(expected)
        assert [data for _, data in got] == expected


def test_a_list_of_frames_comes_in_its_order(web: Web, sample_data: Path) -> None:
    dataset = pydicom.dcmread(sample_data / "mr_multiframe" / "mr_enhanced.dcm")
    expected = frames_of(dataset)
    for numbers in ([3, 1, 6], [2, 2], [1]):
        listed = ",".join(map(str, numbers))
        got = parts(web.get(f"{where(dataset)}/frames/{listed}", OHIF))
        assert [data for _, data in got] == [expected[number - 1] for number in numbers]
    assert parts(web.get(f"{where(dataset)}/frames/1%2C2", OHIF))[1][1] == expected[1]
    assert web.get(f"{where(dataset)}/frames/1,{len(expected) + 1}", OHIF).status_code in (200, 404)
    assert web.get(f"{where(dataset)}/frames/1,2", "application/octet-stream").status_code == 406


def test_the_pixel_data_uri_gives_all_frames(web: Web, sample_data: Path) -> None:
    dataset = pydicom.dcmread(sample_data / "mr_multiframe" / "mr_enhanced.dcm")
    got = parts(web.get(where(dataset) + "/bulkdata/7FE00010"))
    assert [data for _, data in got] == frames_of(dataset)


@pytest.mark.parametrize(("media", "syntax", "decode"), [
    ("image/jls", "1.2.840.10008.1.2.4.80", imagecodecs.jpegls_decode),
    ("image/jphc", "1.2.840.10008.1.2.4.201", imagecodecs.htj2k_decode),
    ("image/jp2", "1.2.840.10008.1.2.4.90", imagecodecs.jpeg2k_decode),
])
def test_compressed_frames_for_who_prefers_them_are_exact(
        web: Web, sample_data: Path, media: str, syntax: str, decode: Callable[[bytes], np.ndarray]) -> None:
    for name in ("ct_head/ct_01.dcm", "mr_brain/t1_01.dcm", "dx_chest/chest_pa.dcm"):
        dataset = pydicom.dcmread(sample_data / name)
        accept = f'multipart/related; type="{media}", multipart/related; type="application/octet-stream"'
        ((kind, data),) = parts(web.get(where(dataset) + "/frames/1", accept))
        assert kind == f"{media}; transfer-syntax={syntax}"
        bits = (1 << dataset.BitsStored) - 1
        assert np.array_equal(decode(data).astype(np.int64) & bits,
                              dataset.pixel_array.astype(np.int64) & bits)
        ((kind, _),) = parts(web.get(where(dataset) + "/frames/1", accept.replace('",', '"; q=0.2,')))
        assert kind == NATIVE
        alone = web.get(where(dataset) + "/frames/1", f"{media}; transfer-syntax={syntax}")
        assert alone.data == data and alone.content_type.startswith(media)


def test_what_cannot_be_compressed_so_comes_in_the_next_alternative(web: Web, sample_data: Path) -> None:
    chart = pydicom.dcmread(sample_data / "sc_chart" / "chart.dcm")
    for media, status in (("image/jpeg", 406), ("image/dicom-rle", 406), ("video/mp4", 406),
                          ('image/jpeg", multipart/related; type="application/octet-stream', 200)):
        assert web.get(where(chart) + "/frames/1", f'multipart/related; type="{media}"').status_code == status


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG])
@pytest.mark.parametrize("coded", [False, True])
def test_frames_of_every_native_syntax_come_in_little_endian(empty: Web, syntax: str, coded: bool) -> None:
    item = image(1, frames=3, syntax=syntax, rows=7, columns=5)
    empty.put(part10(item))
    if coded:
        empty.code_all()
    dataset = pydicom.dcmread(io.BytesIO(part10(item)))
    got = parts(empty.get(where(dataset) + "/frames/1,2,3"))
    assert [data for _, data in got] == frames_of(dataset)


def test_compressed_objects_come_as_they_are_or_decoded(empty: Web) -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    stream = bytes(imagecodecs.jpeg8_encode(values, level=90))
    item = made("1.2.826.9.1.1.1", study="1.2.826.9.1", series="1.2.826.9.1.1", Rows=16, Columns=16,
                SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", BitsAllocated=8, BitsStored=8,
                HighBit=7, PixelRepresentation=0)
    empty.put(part10(encapsulated(item, "1.2.840.10008.1.2.4.50", stream)))
    path = "/studies/1.2.826.9.1/series/1.2.826.9.1.1/instances/" + item.instance + "/frames/1"
    ((kind, as_is),) = parts(empty.get(path, OHIF))
    assert kind == "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50"
    assert as_is.rstrip(b"\0") == stream.rstrip(b"\0")
    ((kind, decoded),) = parts(empty.get(path))
    assert kind == NATIVE and decoded == imagecodecs.jpeg8_decode(stream).tobytes()
    assert parts(empty.get(path, 'multipart/related; type="image/jpeg"'))[0][1] == as_is
    ((_, packed),) = parts(empty.get(path, 'multipart/related; type="image/jls"'))
    assert imagecodecs.jpegls_decode(packed).tobytes() == decoded


# ------------------------------------------------------------------ cache and what comes ahead
def test_asking_for_one_slice_fetches_the_rest_of_its_series(
        make_web: Callable[..., Web], tmp_path: Path) -> None:
    web = make_web(tmp_path)
    items = [image(number, rows=32, columns=32) for number in range(1, 9)]
    for item in items:
        web.put(part10(item))
    web.code_all()
    frames, index = web.services.frames, web.services.archive.index
    path = "/studies/1.2.826.9.1/series/1.2.826.9.1.1/instances/"
    assert web.get(path + items[4].instance + "/frames/1").status_code == 200
    keys = [("frame", tag_of(index.get(item.instance)), 1, EXPLICIT) for item in items]
    wait_for(lambda: all(frames.cache.get(key) is not None for key in keys), what="all slices are at hand")


def test_without_a_cache_frames_are_right_and_nothing_is_fetched_ahead(
        make_web: Callable[..., Web], tmp_path: Path) -> None:
    web = make_web(tmp_path, cache_bytes=0)
    for number in (1, 2, 3):
        web.put(part10(image(number)))
    web.code_all()
    path = "/studies/1.2.826.9.1/series/1.2.826.9.1.1/instances/1.2.826.9.1.1."
    for _ in range(2):
        assert web.get(path + "2/frames/1", "application/octet-stream").data[:20] in image(2).data
    assert web.services.frames.cache.size == 0


def test_an_object_that_is_coded_while_it_is_read_gives_the_same_frames(
        make_web: Callable[..., Web], tmp_path: Path) -> None:
    web = make_web(tmp_path)
    items = [image(number, rows=24, columns=24) for number in range(1, 13)]
    for item in items:
        web.put(part10(item))
    path = "/studies/1.2.826.9.1/series/1.2.826.9.1.1/instances/"
    expected = {item.instance: web.get(path + item.instance + "/frames/1").data for item in items}
    coding = threading.Thread(target=web.code_all)
    coding.start()
    while coding.is_alive():
        for item in items:
            answer = web.services.frames.find("", "", item.instance)
            frame = web.services.frames.frame(answer, 1, (EXPLICIT,))
            assert frame.value in expected[item.instance]
        time.sleep(0.001)
    coding.join()
