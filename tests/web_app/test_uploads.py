"""What may be uploaded, what is refused and how that is said; one bad file never costs the others."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest

from dicomnn.flow.ingest import Ingest, Policy
from dicomnn.flow.unpacking import ZipLimits
from dicomnn.flow.upload import Desk, Person
from tests.web_app.conftest import PERSON, Site, Visitor

Packed = Callable[..., bytes]
HTML = b"<!doctype html><html><body><script>alert(1)</script></body></html>" * 20


@pytest.fixture
def visitor(site: Site) -> Visitor:
    return site.visitor()


def restored(visitor: Visitor, site: Site, uid: str) -> bytes:
    instance = site.archive.index.get(uid)
    answer = visitor.get(f"/studies/{instance.study_instance_uid}/instances/{uid}/restored.dcm")
    assert answer.status_code == 200, answer.text
    return answer.data


def told(answer: dict) -> str:
    return " ".join(item["message"] for item in answer["items"])


def test_a_file_comes_back_byte_for_byte_before_and_after_it_was_coded(
    site: Site, visitor: Visitor, sample_data: Path
) -> None:
    files = [sample_data / "ct_thorax" / "ct_01.dcm", sample_data / "mr_brain" / "t1_01.dcm"]
    answers = visitor.upload(*((file.name, file.read_bytes()) for file in files))
    assert [answer["counts"]["arrived"] for answer in answers] == [1, 1]
    uids = [str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID) for file in files]
    for _ in ("received", "coded"):
        assert [restored(visitor, site, uid) for uid in uids] == [file.read_bytes() for file in files]
        site.code_all()
    assert site.archive.index.get(uids[0]).state.is_coded


def test_the_same_file_again_is_said_to_be_here_and_stored_once(visitor: Visitor, ct: bytes) -> None:
    first, second = visitor.upload(("a.dcm", ct), ("b.dcm", ct))
    assert first["counts"]["arrived"] == 1 and second["counts"]["same"] == 1
    assert "here already" in told(second)


def test_a_zip_is_walked_through_and_each_bad_file_in_it_named(
    visitor: Visitor, packed: Packed, ct: bytes, sample_data: Path
) -> None:
    other = (sample_data / "ct_thorax" / "ct_02.dcm").read_bytes()
    archive = packed(
        {
            "a/1.dcm": ct,
            "a/2.dcm": other,
            "a/page.dcm": HTML,
            "__MACOSX/._1.dcm": b"x",
            "inner.zip": packed({"x.dcm": ct}),
            "cut.dcm": ct[:900],
        }
    )
    answer = visitor.upload(("study.zip", archive))[0]
    assert answer["counts"] == {"arrived": 2, "same": 0, "skipped": 1, "failed": 2}
    messages = {item["name"]: item["message"] for item in answer["items"]}
    assert "neither DICOM nor a picture" in messages["study.zip: a/page.dcm"]
    assert "ZIP within a ZIP" in messages["study.zip: inner.zip"] and "study.zip: cut.dcm" in messages


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("empty.dcm", b"", "neither DICOM"),
        ("page.dcm", HTML, "neither DICOM"),
        ("noise.dcm", bytes(range(256)) * 40, "What to do"),
        ("cut.zip", b"PK\3\4" + b"\0" * 50, "ZIP cannot be read"),
        ("cut.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "What to do"),
    ],
)
def test_a_bad_file_gets_a_clear_sentence_and_the_rest_is_kept(
    visitor: Visitor, ct: bytes, name: str, data: bytes, says: str
) -> None:
    bad, good = visitor.upload((name, data), ("good.dcm", ct), **PERSON)
    assert bad["counts"]["failed"] == 1 and says in told(bad), told(bad)
    assert good["counts"]["arrived"] == 1


def test_a_dicom_file_that_was_cut_in_its_pixels_is_kept_and_said_so(
    site: Site, visitor: Visitor, ct: bytes
) -> None:
    answer = visitor.upload(("cut.dcm", ct[:-20_000]))[0]
    assert answer["counts"]["arrived"] == 1
    site.code_all()
    page = visitor.get(f"/studies/{answer['studies'][0]}").text
    assert "kept" in page


def test_a_zip_of_10_000_files_is_refused_before_any_is_read(
    visitor: Visitor, packed: Packed, ct: bytes
) -> None:
    many = packed({f"{number}.txt": b"x" for number in range(10_000)}, zipfile.ZIP_STORED)
    bad, good = visitor.upload(("many.zip", many), ("good.dcm", ct))
    assert "holds 10000 files" in told(bad) and "in parts" in told(bad)
    assert bad["counts"]["failed"] == 1 and good["counts"]["arrived"] == 1


def test_a_bomb_is_found_in_the_table_of_contents(visitor: Visitor, packed: Packed) -> None:
    zeros = packed({f"{number}": bytes(30 << 20) for number in range(4)})
    assert len(zeros) < 150_000
    assert "bomb" in told(visitor.upload(("bomb.zip", zeros))[0])


def overlapping(kernel: int = 1 << 20, copies: int = 60) -> bytes:
    """Many entries that are all the same few bytes: a few kB that claim to be gigabytes."""
    body = zlib.compress(bytes(kernel), 9)[2:-4]
    crc = zlib.crc32(bytes(kernel))
    local = (
        struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0, 8, 0, 0, crc, len(body), kernel, 1, 0) + b"a" + body
    )
    table = b"".join(
        struct.pack(
            "<4sHHHHHHIIIHHHHHII", b"PK\1\2", 20, 20, 0, 8, 0, 0, crc, len(body), kernel, 1, 0, 0, 0, 0, 0, 0
        )
        + b"a"
        for _ in range(copies)
    )
    return (
        local + table + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, copies, copies, len(table), len(local), 0)
    )


def test_a_bomb_of_overlapping_entries_is_refused(visitor: Visitor) -> None:
    bomb = overlapping()
    assert len(bomb) < 42_000
    assert "overlap" in told(visitor.upload(("42.zip", bomb))[0])


def test_a_zip_that_lies_about_its_sizes_is_cut_off(site: Site, packed: Packed) -> None:
    desk = Desk(Ingest(site.archive, Policy()), ZipLimits(bytes=1 << 20))
    upload = desk.begin("x", "::1", "lossless", Person())
    items = desk.take(upload.id, "big.zip", iter([packed({"a": bytes(2 << 20)}, zipfile.ZIP_STORED)]))
    assert [item.outcome for item in items] == ["failed"] and "unpacks to" in items[0].message


def test_names_in_a_zip_are_shown_escaped_and_never_become_paths(
    site: Site, visitor: Visitor, packed: Packed, tmp_path: Path
) -> None:
    before = sorted(str(path) for path in tmp_path.parent.iterdir())
    answer = visitor.upload(("x.zip", packed({"../../evil.dcm": HTML, "/etc/evil.dcm": HTML})))[0]
    assert answer["counts"]["failed"] == 2
    assert sorted(str(path) for path in tmp_path.parent.iterdir()) == before
    assert not list(tmp_path.rglob("evil*"))


def test_a_compressed_body_is_refused(visitor: Visitor) -> None:
    made = visitor.begin()
    answer = visitor.send(made, "a.dcm", b"x", **{"Content-Encoding": "gzip"})
    assert answer.status_code == 400 and "compressed body" in answer.json["error"]


# ---------------------------------------------------------------------- pictures
RAMP16 = np.add.outer(np.arange(40) * 1500, np.arange(60) * 11).astype(np.uint16)
GREY8 = (RAMP16 >> 8).astype(np.uint8)
COLOUR = np.stack([GREY8, GREY8 // 2, 255 - GREY8], -1)


@pytest.mark.parametrize(
    ("name", "data", "pixels"),
    [
        ("grey16.png", imagecodecs.png_encode(RAMP16), RAMP16),
        ("grey8.png", imagecodecs.png_encode(GREY8), GREY8),
        ("colour.png", imagecodecs.png_encode(COLOUR), COLOUR),
        ("opaque.png", imagecodecs.png_encode(np.dstack([COLOUR, np.full((40, 60), 255, np.uint8)])), COLOUR),
        ("grey16.tif", imagecodecs.tiff_encode(RAMP16), RAMP16),
    ],
)
def test_a_picture_becomes_an_image_with_exactly_its_values(
    site: Site, visitor: Visitor, name: str, data: bytes, pixels: np.ndarray
) -> None:
    answer = visitor.upload((name, bytes(data)), **PERSON)[0]
    assert answer["counts"]["arrived"] == 1, answer
    site.code_all()
    instance = next(site.archive.index.instances(study=answer["studies"][0]))
    dataset = pydicom.dcmread(io.BytesIO(restored(visitor, site, instance.sop_instance_uid)))
    assert np.array_equal(dataset.pixel_array, pixels)
    assert (dataset.PatientName, dataset.PatientID, dataset.Modality) == ("Doe^Jane", "P1", "OT")
    assert dataset.LossyImageCompression == "00" and dataset.SOPClassUID.name.startswith("Secondary Capture")
    png = visitor.get(f"/studies/{answer['studies'][0]}/instances/{instance.sop_instance_uid}/frames/1.png")
    assert np.array_equal(imagecodecs.png_decode(png.data), pixels)


def test_a_jpeg_says_that_something_was_lost_before_it_came(site: Site, visitor: Visitor) -> None:
    data = imagecodecs.jpeg8_encode(COLOUR, level=80)
    answer = visitor.upload(("photo.jpg", bytes(data)), **PERSON)[0]
    instance = next(site.archive.index.instances(study=answer["studies"][0]))
    dataset = pydicom.dcmread(io.BytesIO(restored(visitor, site, instance.sop_instance_uid)))
    assert (dataset.LossyImageCompression, dataset.LossyImageCompressionMethod) == ("01", "ISO_10918_1")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (imagecodecs.png_encode(np.dstack([RAMP16] * 3)), "16 bits per channel"),
        (imagecodecs.png_encode(np.dstack([COLOUR, GREY8])), "transparent"),
        (
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
            + struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
            + b"\0" * 99,
            "60000 x 60000",
        ),
    ],
)
def test_a_picture_that_dicom_cannot_hold_is_refused_with_what_to_do(
    visitor: Visitor, ct: bytes, data: bytes, says: str
) -> None:
    bad, good = visitor.upload(("bad.png", bytes(data)), ("good.dcm", ct), **PERSON)
    assert says in told(bad) and "What to do" in told(bad) and bad["counts"]["failed"] == 1
    assert good["counts"]["arrived"] == 1


def test_pictures_need_a_patient(visitor: Visitor) -> None:
    answer = visitor.client.post(
        "/uploads", json={"pictures": True, "patient_name": "Doe"}, headers={"X-Form-Key": visitor.key}
    )
    assert answer.status_code == 400 and "patient ID" in answer.json["error"]
    refused = visitor.upload(("a.png", bytes(imagecodecs.png_encode(GREY8))))[0]
    assert "patient name and patient ID are needed" in told(refused)


def test_pictures_of_one_upload_are_one_study_and_a_repeated_request_is_no_second_picture(
    site: Site, visitor: Visitor
) -> None:
    first, second, again = (bytes(imagecodecs.png_encode(GREY8 + number)) for number in (0, 1, 0))
    answers = visitor.upload(("1.png", first), ("2.png", second), ("1.png", again), **PERSON)
    assert len({study for answer in answers for study in answer["studies"]}) == 1
    assert sum(answer["counts"]["arrived"] for answer in answers) == 2


def test_the_profile_chosen_is_the_profile_kept_and_bounded_marks_the_study_as_lossy(
    site: Site, visitor: Visitor, ct: bytes
) -> None:
    answer = visitor.upload(("a.dcm", ct), profile="bounded:2")[0]
    site.code_all()
    study = answer["studies"][0]
    assert next(site.archive.index.instances(study=study)).facts["exact"] == "bounded"
    assert "lossy</span>" in visitor.get("/studies").text
    page = visitor.get(f"/studies/{study}").text
    assert "<strong>Lossy.</strong>" in page and "bounded by 2" in page


def test_a_lossy_profile_chosen_is_recorded_with_who_asked_for_it(
    site: Site, visitor: Visitor, ct: bytes
) -> None:
    answer = visitor.upload(("a.dcm", ct), profile="lossy:psnr=45")[0]
    site.code_all()
    facts = next(site.archive.index.instances(study=answer["studies"][0])).facts
    assert facts["lossy"]["promise"] == "psnr=45" and facts["lossy"]["outcome"] in ("kept", "escalated")
    assert facts["lossy"]["asked_by"].startswith("the upload by ")
    assert facts["exact"] == ("lossy" if facts["lossy"]["outcome"] == "kept" else facts["exact"])


def test_an_unknown_profile_is_refused(visitor: Visitor) -> None:
    answer = visitor.client.post("/uploads", json={"profile": "tiny"}, headers={"X-Form-Key": visitor.key})
    assert answer.status_code == 400


def test_progress_tells_of_files_and_of_coding(site: Site, visitor: Visitor, ct: bytes) -> None:
    made = visitor.begin()
    visitor.send(made, "a.dcm", ct)
    before = visitor.get(f"/uploads/{made}.json").json
    assert (before["arrived"], before["instances"], before["pending"]) == (1, 1, 1)
    site.code_all()
    after = visitor.get(f"/uploads/{made}.json").json
    assert after["pending"] == 0 and after["bytes_after"] < after["bytes_before"]


def test_nobody_adds_to_an_upload_of_somebody_else(site: Site, ct: bytes) -> None:
    made = site.signed_in("contributor", "ann").begin()
    assert site.signed_in("contributor", "bob").send(made, "a.dcm", ct).status_code == 403
