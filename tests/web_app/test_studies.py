"""Lists, a study's page, downloads, and what can be done with a study that is there."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest

from dicomnn.archive import State
from dicomnn.archive.check import rebuild
from tests.scp.objects import made
from tests.scp.peer import EXPLICIT
from tests.web_app.conftest import Site, Visitor

STUDY = "1.2.826.8.1"
EVIL = '<img src=x onerror="alert(1)">'


@pytest.fixture
def visitor(site: Site) -> Visitor:
    return site.visitor()


def files(sample_data: Path, name: str) -> list[tuple[str, bytes]]:
    return [(path.name, path.read_bytes()) for path in sorted((sample_data / name).glob("*.dcm"))]


def part10(instance: str, **attributes: object) -> bytes:
    from dicomnn.flow.part10 import file_prefix

    item = made(instance, size=32, **attributes)  # type: ignore[arg-type]
    return file_prefix(item.sop_class, item.instance, EXPLICIT) + item.data


def study_of(visitor: Visitor, *given: tuple[str, bytes], profile: str = "lossless") -> str:
    return visitor.upload(*given, profile=profile)[0]["studies"][0]


@pytest.fixture
def many(visitor: Visitor) -> Visitor:
    for number, (name, patient, modality, day) in enumerate(
        [
            ("Doe^Jane", "A1", "CT", "20240101"),
            ("Doe^John", "A2", "MR", "20240201"),
            ("Müller^Eva", "B7%", "CT", "20240301"),
        ]
    ):
        visitor.upload(
            (
                "a.dcm",
                part10(
                    f"{STUDY}.{number}.1.1",
                    study=f"{STUDY}.{number}",
                    series=f"{STUDY}.{number}.1",
                    PatientName=name,
                    PatientID=patient,
                    SpecificCharacterSet="ISO_IR 192",
                    Modality=modality,
                    StudyDate=day,
                    StudyDescription=f"Kind {number}",
                ),
            )
        )
    return visitor


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("", ["2", "1", "0"]),
        ("q=doe", ["1", "0"]),
        ("q=JANE", ["0"]),
        ("q=Doe, Jo", ["1"]),
        ("q=müller", ["2"]),
        ("q=A2", ["1"]),
        ("q=kind", []),
        ("q=Kind", ["2", "1", "0"]),
        ("modality=CT", ["2", "0"]),
        ("modality=CT&q=doe", ["0"]),
        ("from=2024-02-01", ["2", "1"]),
        ("to=2024-01-15", ["0"]),
        ("q=B7%25", ["2"]),
        ("q=%25", ["2"]),
        ("q=*", ["2", "1", "0"]),
        (f"q={STUDY}.1", ["1"]),
        ("q=nobody", []),
    ],
)
def test_studies_are_found_newest_first(many: Visitor, asked: str, shown: list[str]) -> None:
    page = many.get(f"/studies?{asked}").text
    uids = [part.split('"')[0] for part in page.split('data-uid="')[1:]]
    assert uids == [f"{STUDY}.{number}" for number in shown]


def test_no_text_of_a_patient_becomes_markup(site: Site, visitor: Visitor) -> None:
    study = study_of(
        visitor,
        (
            "a.dcm",
            part10(
                f"{STUDY}.9.1",
                study=f"{STUDY}.9",
                series=f"{STUDY}.9.0",
                PatientName=EVIL[:60],
                PatientID="<b>x</b>",
                Modality="CT",
                StudyDescription="</title><script>alert(2)</script>",
            ),
        ),
    )
    site.code_all()
    for url in ("/studies", f"/studies/{study}", f"/studies/{study}/report.html", "/studies?q=<script>"):
        page = visitor.get(url).text
        assert "<img src=x" not in page and "<script>alert" not in page and "<b>x</b>" not in page


def test_older_studies_are_on_the_next_page(site: Site, visitor: Visitor) -> None:
    for number in range(53):
        visitor.upload(
            (
                "a.dcm",
                part10(
                    f"{STUDY}.{number}.1.1",
                    study=f"{STUDY}.{number}",
                    series=f"{STUDY}.7",
                    PatientID=f"P{number}",
                ),
            )
        )
    first = visitor.get("/studies").text
    older = first.split('href="/studies?before=')[1].split('"')[0]
    second = visitor.get(f"/studies?before={older}").text
    assert (first.count("data-uid="), second.count("data-uid=")) == (50, 3)


def test_a_frame_has_exactly_the_stored_values(site: Site, visitor: Visitor, sample_data: Path) -> None:
    given = files(sample_data, "mr_multiframe") + files(sample_data, "ct_thorax")[:1]
    visitor.upload(*given)
    site.code_all()
    for _, data in given:
        dataset = pydicom.dcmread(io.BytesIO(data))
        at = f"/studies/{dataset.StudyInstanceUID}/instances/{dataset.SOPInstanceUID}"
        pixels = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
        facts = visitor.get(f"{at}/image.json").json
        assert facts["frames"] == len(pixels) and facts["rows"] == dataset.Rows
        for number in (1, len(pixels)):
            answer = visitor.get(f"{at}/frames/{number}.bin")
            kind = {"i16": "<i2", "u16": "<u2", "u8": "u1"}[answer.headers["X-Kind"]]
            shown = np.frombuffer(answer.data, kind).reshape(dataset.Rows, dataset.Columns)
            assert np.array_equal(shown, pixels[number - 1])
        etag = answer.headers["ETag"]
        assert visitor.get(f"{at}/frames/{number}.bin", headers={"If-None-Match": etag}).status_code == 304
        assert visitor.get(f"{at}/frames/999.bin").status_code == 400


def test_measures_and_codes_are_there_for_each_frame(site: Site, visitor: Visitor, sample_data: Path) -> None:
    study = study_of(visitor, *files(sample_data, "mr_multiframe"))
    site.code_all()
    view = visitor.get(f"/studies/{study}/view.json").json
    one = view["series"][0]["instances"][0]
    measures = visitor.get(f"/studies/{study}/instances/{one['uid']}/measures.json").json
    assert len(measures["bits"]) == one["frames"] and all(value > 0 for value in measures["bits"])
    codes = visitor.get(f"/studies/{study}/instances/{one['uid']}/codes/1.json").json
    assert "no picture in this layer" in codes["words"] and len(codes["tiles"]) >= 1
    assert all(
        tile["code"] is None or (len(tile["code"]) == 16 and max(map(abs, tile["code"])) <= 3)
        for tile in codes["tiles"]
    )


def test_a_lossy_multi_frame_keeps_its_errors_frame_by_frame(
    site: Site, visitor: Visitor, sample_data: Path
) -> None:
    study = study_of(visitor, *files(sample_data, "mr_multiframe"), profile="bounded:2")
    site.code_all()
    one = visitor.get(f"/studies/{study}/view.json").json["series"][0]["instances"][0]
    at = f"/studies/{study}/instances/{one['uid']}"
    errors = visitor.get(f"{at}/measures.json").json["errors"]
    assert len(errors["mse"]) == one["frames"] and max(errors["max_error"]) <= 2
    worst = visitor.get(f"{at}/image.json").json["figures"][0]["frame"]
    assert visitor.get(f"{at}/kept/{worst}/difference.png").data.startswith(b"\x89PNG")
    assert visitor.get(f"{at}/kept/{worst}/secret.png").status_code == 404


def test_a_whole_study_comes_as_a_zip_of_the_very_files(
    site: Site, visitor: Visitor, sample_data: Path
) -> None:
    given = files(sample_data, "ct_thorax")[:3]
    study = study_of(visitor, *given)
    site.code_all()
    answer = visitor.get(f"/studies/{study}/all.zip")
    archive = zipfile.ZipFile(io.BytesIO(answer.data))
    assert sorted(archive.read(name) for name in archive.namelist()) == sorted(data for _, data in given)
    assert archive.testzip() is None and all(name.endswith(".dcm") for name in archive.namelist())


def test_report_and_stored_form_can_be_had(site: Site, visitor: Visitor, sample_data: Path) -> None:
    study = study_of(visitor, *files(sample_data, "ct_thorax")[:1])
    site.code_all()
    report = visitor.get(f"/studies/{study}/report.html")
    assert "script-src" not in report.headers["Content-Security-Policy"]
    assert "sandbox" in report.headers["Content-Security-Policy"]
    assert json.loads(visitor.get(f"/studies/{study}/report.json").data)["schema"] == "dicomnn-study-report"
    uid = visitor.get(f"/studies/{study}/view.json").json["series"][0]["instances"][0]["uid"]
    stored = visitor.get(f"/studies/{study}/instances/{uid}/stored.dcm").data
    assert "PixelData" not in pydicom.dcmread(io.BytesIO(stored))


def test_a_study_that_is_not_there_is_a_sentence(visitor: Visitor) -> None:
    for url in (
        "/studies/1.2.3",
        "/studies/1.2.3/report.html",
        "/studies/1.2.3/all.zip",
        "/studies/../etc/passwd",
    ):
        answer = visitor.get(url)
        assert answer.status_code == 404 and ("What to do" in answer.text or "Go back" in answer.text)


# ---------------------------------------------------------------------- doing it again
def states(site: Site, study: str) -> set[tuple[str, str]]:
    return {(str(one.state), str(one.reason)) for one in site.archive.index.instances(study=study)}


def test_decompressed_is_the_original_and_compressed_again_it_is_coded(
    site: Site, visitor: Visitor, sample_data: Path
) -> None:
    given = files(sample_data, "ct_thorax")[:2]
    study = study_of(visitor, *given)
    site.code_all()
    assert states(site, study) == {("coded", "None")}
    assert visitor.post(f"/studies/{study}/decompress").status_code == 303
    site.code_all()
    assert states(site, study) == {("kept", "decompressed")}
    objects = {
        site.archive.store.open(one.object_name).read() for one in site.archive.index.instances(study=study)
    }
    assert objects == {data for _, data in given}
    assert "stored as it was received" in visitor.get(f"/studies/{study}/view.json").text
    visitor.post(f"/studies/{study}/again", profile="lossless", effort="fast")
    site.code_all()
    assert states(site, study) == {("coded", "None")}
    answer = visitor.get(f"/studies/{study}/all.zip").data
    archive = zipfile.ZipFile(io.BytesIO(answer))
    assert sorted(archive.read(name) for name in archive.namelist()) == sorted(data for _, data in given)


def test_with_a_lossy_profile_the_object_gets_a_new_uid_and_its_errors_are_measured(
    site: Site, visitor: Visitor, sample_data: Path
) -> None:
    study = study_of(visitor, *files(sample_data, "ct_thorax")[:1])
    site.code_all()
    before = next(site.archive.index.instances(study=study))
    visitor.post(f"/studies/{study}/again", profile="bounded:1", effort="fast")
    site.code_all()
    after = next(site.archive.index.instances(study=study))
    assert after.facts["exact"] == "bounded" and after.facts["quality"]["max_error"] == 1
    assert after.received_uid == before.sop_instance_uid != after.sop_instance_uid
    assert after.object_size < before.object_size and after.tried_effort is None
    done = visitor.post(f"/studies/{study}/decompress")
    assert "nothing+to+do" in done.location  # its original is gone
    site.code_all()
    assert next(site.archive.index.instances(study=study)).object_name == after.object_name


def test_more_effort_makes_it_smaller_and_the_same_bytes_come_back(
    site: Site, visitor: Visitor, sample_data: Path
) -> None:
    given = files(sample_data, "ct_thorax")[:1]
    study = study_of(visitor, *given)
    site.code_all()
    before = next(site.archive.index.instances(study=study)).object_size
    visitor.post(f"/studies/{study}/again", effort="default")
    assert visitor.get(f"/studies/{study}/view.json").json["again"] == 1
    site.code_all()
    one = next(site.archive.index.instances(study=study))
    assert one.object_size <= before
    assert visitor.get(f"/studies/{study}/instances/{one.sop_instance_uid}/restored.dcm").data == given[0][1]


def test_the_store_alone_still_knows_what_was_decompressed(
    site: Site, visitor: Visitor, sample_data: Path, tmp_path: Path
) -> None:
    from dicomnn.archive.index import open_index

    study = study_of(visitor, *files(sample_data, "ct_thorax")[:1])
    site.code_all()
    visitor.post(f"/studies/{study}/decompress")
    site.code_all()
    one = next(site.archive.index.instances(study=study))
    with open_index(f"sqlite:///{tmp_path}/new.sqlite") as index:
        rebuild(site.archive.store, index, lambda path: None)
        again = index.get(one.sop_instance_uid)
        assert (again.state, again.reason, again.object_name, again.profile) == (
            State.KEPT,
            "decompressed",
            one.object_name,
            "keep",
        )


def test_deleting_needs_a_reason_and_leaves_a_tombstone_and_a_record(
    site: Site, visitor: Visitor, sample_data: Path
) -> None:
    study = study_of(visitor, *files(sample_data, "ct_thorax")[:2])
    site.code_all()
    assert visitor.post(f"/studies/{study}/delete", reason=" ", sure="yes").status_code == 400
    assert visitor.post(f"/studies/{study}/delete", reason="wrong patient").status_code == 400
    assert visitor.post(f"/studies/{study}/delete", reason="wrong patient", sure="yes").status_code == 303
    gone = list(site.archive.index.instances(study=study, include_deleted=True))
    assert {(one.state, one.reason) for one in gone} == {(State.DELETED, "wrong patient")}
    site.code_all()
    assert sum(1 for _ in site.archive.store.entries()) == 0
    assert visitor.get(f"/studies/{study}").status_code == 404
    assert study not in visitor.get("/studies").text
    assert any(
        deed.action == "delete" and "wrong patient" in deed.detail
        for deed in site.accounts.deeds(10, subject=study)
    )


def test_the_nodes_page_tells_of_backlog_saved_bytes_and_failures(
    site: Site, visitor: Visitor, sample_data: Path
) -> None:
    visitor.upload(*files(sample_data, "ct_thorax")[:2])
    assert visitor.get("/node.json").json["backlog"] == 2
    site.code_all()
    site.archive.index.remember()
    figures = visitor.get("/node.json").json
    assert (
        figures["backlog"] == 0 and figures["coded"] == 2 and figures["bytes_after"] < figures["bytes_before"]
    )
    assert sum(count for _, count in figures["activity"]["coded"]) == 2 and len(figures["history"]) == 1
    assert visitor.get("/node").status_code == 200
