"""QIDO-RS: every way to ask finds what it should, and what makes no sense is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dicomnn.flow.query import Search
from scp.web.factory import create_app
from scp.web.services import Services
from tests.scp.objects import made
from tests.web.bodies import part10
from tests.web.conftest import Web, value

STUDY, SERIES, INSTANCE = "0020000D", "0020000E", "00080018"


def test_viewers_get_the_list_of_studies_as_they_ask_for_it(web: Web) -> None:
    rows = web.found("/studies?limit=101&offset=0&fuzzymatching=false"
                     "&includefield=00081030%2C00080060%2C00080090%2C00100030")
    assert len(rows) == 7
    for row in rows:
        assert value(row, "00201208") >= 1 and row["00080061"]["Value"] and value(row, "00081030")
        assert row["00100010"]["Value"][0]["Alphabetic"]
        assert value(row, "00081190").endswith("/dicom-web/studies/" + value(row, STUDY))
        assert list(row) == sorted(row)


@pytest.mark.parametrize(("query", "count"), [
    ("PatientName=phantom*", 7), ("00100010=PHANTOM%5e*", 7), ("PatientID=DEMO-0001", 1),
    ("00100020=*DEMO-000*", 7), ("PatientID=demo-0001", 0), ("ModalitiesInStudy=MR", 3),
    ("StudyDate=20240308", 1), ("StudyDate=19000101-", 7), ("StudyDate=-19000101", 0),
    ("00080020=20240308-20240308", 1), ("AccessionNumber=DEMO0005", 1), ("PatientID=DEMO-000%3F", 7),
])
def test_matching_is_that_of_queries_over_dimse(web: Web, query: str, count: int) -> None:
    assert len(web.found("/studies?" + query)) == count


def test_a_list_of_uids_finds_each_of_them(web: Web) -> None:
    uids = [value(row, STUDY) for row in web.found("/studies")]
    for separator in ("%2C", ",", "%5C"):
        rows = web.found("/studies?StudyInstanceUID=" + separator.join(uids[:3]))
        assert {value(row, STUDY) for row in rows} == set(uids[:3])
    rows = web.found(f"/studies?StudyInstanceUID={uids[0]}&StudyInstanceUID={uids[0]}")
    assert len(rows) == 1


def test_every_level_is_found_from_every_level_above(web: Web) -> None:
    study = next(row for row in web.found("/studies") if value(row, "00201206") > 1)
    uid = value(study, STUDY)
    series = web.found(f"/studies/{uid}/series?includefield=00080021,00080031,0008103E")
    assert len(series) == value(study, "00201206") and all(value(row, "0008103E") for row in series)
    assert "00100010" not in series[0], "the path names the study"
    of_study = web.found(f"/studies/{uid}/instances")
    assert len(of_study) == value(study, "00201208")
    of_series = web.found(f"/studies/{uid}/series/{value(series[0], SERIES)}/instances")
    assert 0 < len(of_series) == value(series[0], "00201209") < len(of_study)
    assert value(of_series[0], "00280010") and value(of_series[0], "00280100") == 16
    anywhere = web.found(f"/instances?SOPInstanceUID={value(of_series[0], INSTANCE)}")
    assert len(anywhere) == 1 and value(anywhere[0], STUDY) == uid and value(anywhere[0], "00100020")
    assert len(web.found("/series?Modality=CT")) == 2
    assert len(web.found("/instances?Modality=DX")) == 1


def test_pages_come_one_after_the_other_and_lack_nothing(web: Web) -> None:
    everything = [value(row, INSTANCE) for row in web.found("/instances")]
    paged = [value(row, INSTANCE) for start in range(0, 25, 4)
             for row in web.found(f"/instances?limit=4&offset={start}")]
    assert paged == everything and len(everything) == 21
    assert web.found("/instances?limit=0") == [] == web.found("/instances?limit=5&offset=1000")


def test_all_fields_are_those_of_the_level_and_above(web: Web) -> None:
    row = web.found("/instances?limit=1&includefield=all")[0]
    assert {"00080060", "00080070", "00100010", "00080020", "00280010", INSTANCE} <= set(row)
    assert "00280010" not in web.found("/series?includefield=all&limit=1")[0]


def test_fuzzy_matching_and_unknown_parameters_are_accepted_and_said(web: Web) -> None:
    answer = web.get("/studies?fuzzymatching=true&PatientName=Phantom*&Rows=3&Nonsense=1&includefield=Rows")
    assert answer.status_code == 200 and len(answer.get_json(force=True)) == 7
    warnings = answer.headers.getlist("Warning")
    assert len(warnings) == 2 and "fuzzymatching" in warnings[0]
    assert "Nonsense" in warnings[1] and "Rows" in warnings[1]
    assert all(warning.startswith("299 ") for warning in warnings)


@pytest.mark.parametrize("path", [
    "/studies?limit=-1", "/studies?limit=x", "/studies?offset=1.5", "/studies?fuzzymatching=perhaps",
    "/studies?StudyDate=yesterday", "/studies?StudyInstanceUID=1.2*", "/studies/abc/series",
    "/studies/1.2.3/series/..%2f..%2fetc/instances", "/instances?InstanceNumber=one",
])
def test_a_query_that_cannot_be_meant_is_refused_by_name(web: Web, path: str) -> None:
    answer = web.get(path)
    assert answer.status_code in (400, 404) and b"etc" not in answer.data


def test_without_a_limit_nothing_is_cut_silently(make_web: Callable[..., Web], tmp_path: Path) -> None:
    web = make_web(tmp_path, limit=3)
    for number in range(5):
        study = f"1.2.{number}"
        web.put(part10(made(f"{study}.1.1", study=study, series=f"{study}.1", PatientID="X")))
    assert web.get("/studies").status_code == 413
    assert len(web.found("/studies?limit=2")) == 2
    answer = web.get("/studies?limit=5")
    assert len(answer.get_json(force=True)) == 3 and "exceeded the maximum" in answer.headers["Warning"]
    assert web.get("/studies?limit=3&offset=2").headers.getlist("Warning") == []
    assert len(web.found("/studies?offset=3")) == 2


def test_texts_of_all_character_sets_come_as_unicode(empty: Web) -> None:
    names = {"1.1": ("ISO_IR 100", "Müller^Jörg"), "1.2": ("ISO_IR 192", "Иванов^Пётр"),
             "1.3": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"), "1.4": ("ISO_IR 192", "A^<script>")}
    for uid, (charset, name) in names.items():
        empty.put(part10(made(f"1.2.{uid}.5", study=f"1.2.{uid}", series=f"1.2.{uid}.3",
                              SpecificCharacterSet=charset, PatientName=name)))
    rows = {value(row, STUDY): row for row in empty.found("/studies")}
    assert value(rows["1.2.1.1"], "00100010") == {"Alphabetic": "Müller^Jörg"}
    assert value(rows["1.2.1.2"], "00100010") == {"Alphabetic": "Иванов^Пётр"}
    assert value(rows["1.2.1.3"], "00100010") == {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}
    assert value(rows["1.2.1.3"], "00080005") == "ISO_IR 192"
    assert len(empty.found("/studies?PatientName=m%C3%BCller*")) == 1
    assert len(empty.found("/studies?PatientName=*%E5%B1%B1*")) == 1


@pytest.mark.parametrize(("accept", "status"), [
    (None, 200), ("*/*", 200), ("application/json", 200), ("application/dicom+json", 200), ("text/html", 406),
    ("application/dicom+xml", 406), ('multipart/related; type="application/dicom+xml"', 406),
    ("application/dicom+json, multipart/related; type=application/octet-stream; transfer-syntax=*; "
     "transfer-syntax=*", 200), ("application/dicom+json;q=0", 200), ("nonsense", 200),
])
def test_json_is_given_to_whoever_may_want_it(web: Web, accept: str | None, status: int) -> None:
    assert web.get("/studies?limit=1", accept).status_code == status


def test_scripts_of_other_pages_read_answers_only_where_that_is_configured(
        make_web: Callable[..., Web], tmp_path: Path) -> None:
    origin = "https://viewer.example"
    closed = make_web(tmp_path / "a")
    opened = make_web(tmp_path / "b", origins=(origin,))
    assert "Access-Control-Allow-Origin" not in closed.get("/studies", Origin=origin).headers
    assert "Access-Control-Allow-Origin" not in opened.get("/studies", Origin="https://x.example").headers
    answer = opened.get("/studies", Origin=origin)
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    asked = opened.client.options("/dicom-web/studies", headers={"Origin": origin})
    assert asked.status_code == 200 and "POST" in asked.headers["Access-Control-Allow-Methods"]


def test_coded_series_say_how_soon_they_come(web: Web) -> None:
    services: Services = replace(web.services, coded_availability="NEARLINE",
                                 search=Search(web.services.archive, 0, tell_coded=True))
    rows = create_app(services).test_client().get("/dicom-web/studies").get_json(force=True)
    assert {value(row, "00080056") for row in rows} == {"NEARLINE"}
    assert {value(row, "00080056") for row in web.found("/studies")} == {"ONLINE"}
