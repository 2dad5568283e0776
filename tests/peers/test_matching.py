"""The same queries on the same studies to the node, to Orthanc and to dcmqrscp.

What is right stands in the table (PS3.4 C.2.2.2); the node must give that, and so must the two others,
except where `THEIRS` says what they give instead, and why that is theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pydicom import Dataset
from pynetdicom import build_context

from demo.node import free_port
from tests.peers.orthanc import Orthanc
from tests.peers.programs import qrscp
from tests.scp.objects import made
from tests.scp.peer import Item, NodeProcess, connected, send

pytestmark = pytest.mark.peers

PATIENT, STUDY = "1.2.840.10008.5.1.4.1.2.1.1", "1.2.840.10008.5.1.4.1.2.2.1"
ROOT = "1.2.826.0.1.3680043.10.99"
KEYS = {"PATIENT": "PatientID", "STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID",
        "IMAGE": "SOPInstanceUID"}
KANJI = "Yamada^Tarou=\u5c71\u7530^\u592a\u90ce=\u3084\u307e\u3060^\u305f\u308d\u3046"

# label: patient id, name, study date, study time, modalities (a series each), further attributes
STUDIES: dict[str, tuple[str, str, str, str, str, dict[str, Any]]] = {
    "a": ("P1", "Meier^Anna", "20240101", "101500", "CT MR",
          {"AccessionNumber": "A100", "StudyDescription": "head 100%_x", "StudyID": "S-1",
           "ReferringPhysicianName": "Ruiz^Jose", "PatientBirthDate": "19700102", "PatientSex": "F"}),
    "b": ("p1", "MEIER^ANNA", "20240115", "235959", "CT",
          {"AccessionNumber": "a100", "StudyDescription": "head 100xxx", "PatientSex": "F"}),
    "c": ("P2", "Meierhofer^Bernd", "20240201", "081500.5", "MR",
          {"StudyDescription": "knee", "PatientBirthDate": "19800303", "PatientSex": "M"}),
    "d": ("P3", "M\u00fcller^J\u00f6rg", "20240201", "120000", "CT SR",
          {"SpecificCharacterSet": "ISO_IR 100", "StudyDescription": "R\u00f6ntgen"}),
    "e": ("P4", KANJI, "20231231", "000000", "OT", {"SpecificCharacterSet": ["", "ISO 2022 IR 87"]}),
    "f": ("P5", "Null^Date", "", "", "CT", {}),
    "g": ("100_A", "Under^Score", "20240301", "060000", "OT", {}),
    "h": ("100%A", "Percent^Sign", "20240302", "060000", "OT", {}),
    "i": ("100XA", "Plain^Letter", "20240303", "060000", "OT", {}),
}
UIDS = {label: f"{ROOT}.{number}" for number, label in enumerate(STUDIES, 1)}

SERIES_A1 = {"StudyInstanceUID": UIDS["a"], "SeriesInstanceUID": UIDS["a"] + ".1"}
LATIN_1, UTF_8 = "ISO_IR 100", "ISO_IR 192"


@dataclass(frozen=True)
class Case:
    """A query, and the labels of what it finds: studies ('a'), series ('a1'), images ('a1.2') or patients."""

    level: str
    keys: dict[str, Any]
    right: str
    model: str = STUDY


CASES: dict[str, Case] = {
    "universal": Case("STUDY", {}, "a b c d e f g h i"),
    "patients": Case("PATIENT", {}, "a b c d e f g h i", PATIENT),
    "patient id": Case("STUDY", {"PatientID": "P1"}, "a"),
    "patient id keeps its case": Case("STUDY", {"PatientID": "p1"}, "b"),
    "patient id wildcard": Case("STUDY", {"PatientID": "P*"}, "a c d e f"),
    "patient id question mark": Case("STUDY", {"PatientID": "100?A"}, "g h i"),
    "underscore is no wildcard": Case("STUDY", {"PatientID": "100_A"}, "g"),
    "percent is no wildcard": Case("STUDY", {"PatientID": "100%A"}, "h"),
    "percent beside a wildcard": Case("STUDY", {"StudyDescription": "*100%_*"}, "a"),
    "name without case": Case("STUDY", {"PatientName": "meier^anna"}, "a b"),
    "name is whole": Case("STUDY", {"PatientName": "Meier"}, ""),
    "name prefix": Case("STUDY", {"PatientName": "MEIER*"}, "a b c"),
    "name middle": Case("STUDY", {"PatientName": "*er^*"}, "a b c d g"),
    "name question mark": Case("STUDY", {"PatientName": "me?er^an?a"}, "a b"),
    "name in Latin-1": Case("STUDY", {"PatientName": "M\u00fcller*", "SpecificCharacterSet": LATIN_1}, "d"),
    "name in UTF-8": Case("STUDY", {"PatientName": "m\u00fcller^*", "SpecificCharacterSet": UTF_8}, "d"),
    "name first group": Case("STUDY", {"PatientName": "yamada^*"}, "e"),
    "name ideographic": Case("STUDY", {"PatientName": "\u5c71\u7530*", "SpecificCharacterSet": UTF_8}, "e"),
    "text in Latin-1": Case("STUDY", {"StudyDescription": "R\u00f6*", "SpecificCharacterSet": LATIN_1}, "d"),
    "date": Case("STUDY", {"StudyDate": "20240201"}, "c d"),
    "date range": Case("STUDY", {"StudyDate": "20240101-20240131"}, "a b"),
    "date from": Case("STUDY", {"StudyDate": "20240201-"}, "c d g h i"),
    "date until": Case("STUDY", {"StudyDate": "-20240101"}, "a e"),
    "time": Case("STUDY", {"StudyTime": "120000"}, "d"),
    "time range": Case("STUDY", {"StudyTime": "060000-102000"}, "a c g h i"),
    "time from": Case("STUDY", {"StudyTime": "120000-"}, "b d"),
    "date and time each": Case("STUDY", {"StudyDate": "20240101-20240201", "StudyTime": "10-13"}, "a d"),
    "accession number": Case("STUDY", {"AccessionNumber": "A100"}, "a"),
    "study id": Case("STUDY", {"StudyID": "S-1"}, "a"),
    "description wildcard": Case("STUDY", {"StudyDescription": "head*"}, "a b"),
    "referring physician": Case("STUDY", {"ReferringPhysicianName": "ruiz*"}, "a"),
    "modalities in study": Case("STUDY", {"ModalitiesInStudy": "SR"}, "d"),
    "any modality of the study": Case("STUDY", {"ModalitiesInStudy": "CT"}, "a b d f"),
    "several modalities": Case("STUDY", {"ModalitiesInStudy": "MR\\SR"}, "a c d"),
    "study uid": Case("STUDY", {"StudyInstanceUID": UIDS["c"]}, "c"),
    "list of study uids": Case("STUDY", {"StudyInstanceUID": [UIDS["c"], UIDS["e"], ROOT + ".77"]}, "c e"),
    "two keys": Case("STUDY", {"PatientName": "Meier*", "StudyDate": "20240101-20240131"}, "a b"),
    "nothing": Case("STUDY", {"PatientID": "nobody"}, ""),
    "patient name of patients": Case("PATIENT", {"PatientName": "meier^*"}, "a b", PATIENT),
    "sex of patients": Case("PATIENT", {"PatientSex": "F"}, "a b", PATIENT),
    "birth date of patients": Case("PATIENT", {"PatientBirthDate": "19750101-"}, "c", PATIENT),
    "studies of a patient": Case("STUDY", {"PatientID": "P1"}, "a", PATIENT),
    "series of a study": Case("SERIES", {"StudyInstanceUID": UIDS["a"]}, "a1 a2"),
    "modality of series": Case("SERIES", {"StudyInstanceUID": UIDS["d"], "Modality": "SR"}, "d2"),
    "series number": Case("SERIES", {"StudyInstanceUID": UIDS["a"], "SeriesNumber": "2"}, "a2"),
    "series description": Case("SERIES", {"StudyInstanceUID": UIDS["a"], "SeriesDescription": "*MR"}, "a2"),
    "images of a series": Case("IMAGE", SERIES_A1, "a1.1 a1.2"),
    "image number": Case("IMAGE", {**SERIES_A1, "InstanceNumber": "2"}, "a1.2"),
    "list of image uids": Case("IMAGE", {**SERIES_A1, "SOPInstanceUID": [
        UIDS["a"] + ".1.1", UIDS["a"] + ".1.2"]}, "a1.1 a1.2"),
    "relational series": Case("SERIES", {"Modality": "MR"}, "a2 c1"),
    "relational images": Case("IMAGE", {"PatientID": "P2"}, "c1.1 c1.2"),
}

CASE = "dcmqrscp compares names with case; PS3.4 C.2.2.2.1 lets PN ignore it"
BYTES = "dcmqrscp compares bytes, whatever character sets the query and the object name"
NO_KEY = "dcmqrscp does not have this key, and answers as if it were empty (PS3.4 C.2.2.1.3)"
HIERARCHY = "dcmqrscp passes over keys of upper levels: it negotiated no relational queries (PS3.4 C.4.1.2.1)"
EVERY_IMAGE = " ".join(f"{label}{series}.{number}" for label, values in STUDIES.items()
                       for series in range(1, len(values[4].split()) + 1) for number in (1, 2))

# peer, case: (what it gives instead, why that is its own doing)
THEIRS: dict[tuple[str, str], tuple[str, str]] = {
    ("orthanc", "name ideographic"): ("", "Orthanc compares the name as one text, not by component groups"),
    ("orthanc", "date until"): ("a e f", "Orthanc compares as text: no date is before any date"),
    ("dcmqrscp", "name without case"): ("", CASE),
    ("dcmqrscp", "name prefix"): ("b", CASE),
    ("dcmqrscp", "name middle"): ("a c d g", CASE),
    ("dcmqrscp", "name question mark"): ("", CASE),
    ("dcmqrscp", "name first group"): ("", CASE),
    ("dcmqrscp", "referring physician"): ("", CASE),
    ("dcmqrscp", "two keys"): ("a", CASE),
    ("dcmqrscp", "patient name of patients"): ("", CASE),
    ("dcmqrscp", "name in UTF-8"): ("", BYTES),
    ("dcmqrscp", "name ideographic"): ("", BYTES),
    ("dcmqrscp", "modalities in study"): ("a b c d e f g h i", NO_KEY),
    ("dcmqrscp", "any modality of the study"): ("a b c d e f g h i", NO_KEY),
    ("dcmqrscp", "several modalities"): ("a b c d e f g h i", NO_KEY),
    ("dcmqrscp", "series description"): ("a1 a2", NO_KEY),
    ("dcmqrscp", "relational images"): (EVERY_IMAGE, HIERARCHY),
}


def objects() -> list[Item]:
    """Two images of each series, without pixels."""
    items = []
    for label, (patient, name, date, time, modalities, more) in STUDIES.items():
        for series, modality in enumerate(modalities.split(), 1):
            for number in (1, 2):
                uid = f"{UIDS[label]}.{series}"
                items.append(made(f"{uid}.{number}", study=UIDS[label], series=uid, Modality=modality,
                                  SeriesNumber=series, InstanceNumber=number, PatientID=patient,
                                  PatientName=name, StudyDate=date, StudyTime=time,
                                  SeriesDescription=f"series {modality}", **more))
    return items


def labels(level: str, answers: list[Dataset]) -> set[str]:
    """Short names of what was found."""
    names = {"PATIENT": {values[0]: label for label, values in STUDIES.items()},
             "STUDY": {uid: label for label, uid in UIDS.items()}}
    names["SERIES"] = {f"{uid}.{series}": f"{label}{series}" for label, uid in UIDS.items()
                       for series in (1, 2)}
    names["IMAGE"] = {f"{uid}.{number}": f"{label}.{number}" for uid, label in names["SERIES"].items()
                      for number in (1, 2)}
    found = [str(answer.get(KEYS[level])) for answer in answers]
    assert len(found) == len(set(found)), f"an answer came twice: {sorted(found)}"
    return {names[level].get(uid, uid) for uid in found}


def ask(port: int, title: str, case: Case) -> set[str]:
    query = Dataset()
    query.QueryRetrieveLevel = case.level
    for level in list(KEYS)[:list(KEYS).index(case.level) + 1]:
        if level != "PATIENT" or case.level == "PATIENT" or case.model == PATIENT:
            setattr(query, KEYS[level], "")
    for keyword, value in case.keys.items():
        setattr(query, keyword, value)
    with connected(port, [build_context(case.model)], called=title) as assoc:
        assert assoc.is_established, title
        return labels(case.level, [answer for _, answer in assoc.send_c_find(query, case.model)
                                   if answer is not None])


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[int, str]]]:
    """Name -> (port, AE title) of three archives with the same studies."""
    folder, items = tmp_path_factory.mktemp("matching"), objects()
    config = "[node]\nmax_associations_per_peer = 64\n"
    with (NodeProcess(folder / "archive", "--workers", "-1", config=config) as node,
          qrscp(folder / "qr", free_port(), {}) as qr_port):
        (folder / "orthanc").mkdir()
        orthanc = Orthanc(folder / "orthanc", free_port(), free_port(), node.port)
        try:
            found = {"node": (node.port, "DICOMNN"), "orthanc": (orthanc.dicom_port, "ORTHANC"),
                     "dcmqrscp": (qr_port, "QRSCP")}
            for port, title in found.values():
                assert set(send(port, items, called=title)) == {0}, title
            yield found
        finally:
            orthanc.stop()


@pytest.mark.parametrize("name", CASES)
def test_a_query_finds_what_the_standard_says(name: str, peers: dict[str, tuple[int, str]]) -> None:
    case = CASES[name]
    right = set(case.right.split())
    assert ask(*peers["node"], case) == right
    for peer in ("orthanc", "dcmqrscp"):
        instead, _ = THEIRS.get((peer, name), (case.right, ""))
        assert ask(*peers[peer], case) == set(instead.split()), peer


def test_every_difference_of_the_others_is_one_and_has_its_reason() -> None:
    for (_, name), (instead, reason) in THEIRS.items():
        assert set(instead.split()) != set(CASES[name].right.split()) and reason
