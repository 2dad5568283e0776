"""So many instances in both archives, and the same questions to both; for `node_beside_orthanc.py`."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE

from benchmarks.peer_orthanc import Orthanc
from demo.node import HOST
from dicomnn.archive import Received, State, open_index
from dicomnn.archive.records import Rebuilt
from dicomnn.dicom.attributes import VERSION, read_attributes
from dicomnn.dicom.scan import scan

SERIES, IMAGES = 4, 25                     # of a study, of a series
MODEL = "1.2.840.10008.5.1.4.1.2.2.1"      # Study Root, FIND
NAMES = ("ADAMS", "BAKER", "CLARK", "DAVIS", "EVANS", "FRANK", "GREEN", "HILLS", "IRWIN", "JONES")
KEYS: dict[str, dict[str, str]] = {
    "study by patient id": {"QueryRetrieveLevel": "STUDY", "PatientID": "P000007"},
    "study by name": {"QueryRetrieveLevel": "STUDY", "PatientName": "CLARK^2*"},
    "studies of a day": {"QueryRetrieveLevel": "STUDY", "StudyDate": "20240105-20240105"},
    "series of a study": {"QueryRetrieveLevel": "SERIES", "StudyInstanceUID": "1.2.826.77.7"},
    "images of a series": {"QueryRetrieveLevel": "IMAGE", "StudyInstanceUID": "1.2.826.77.7",
                           "SeriesInstanceUID": "1.2.826.77.7.2"},
}
_RETURNED = {"STUDY": ("StudyInstanceUID", "PatientID", "PatientName", "StudyDate", "StudyDescription"),
             "SERIES": ("SeriesInstanceUID", "Modality", "SeriesNumber"),
             "IMAGE": ("SOPInstanceUID", "InstanceNumber")}
_UID = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}


def datasets(rows: int) -> Iterator[Dataset]:
    """Small objects of studies with 100 images each; two studies of each patient."""
    for number in range(rows):
        image, rest = number % IMAGES + 1, number // IMAGES
        series, study = rest % SERIES + 1, rest // SERIES
        patient = study // 2
        data = Dataset()
        data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        data.StudyInstanceUID = f"1.2.826.77.{study}"
        data.SeriesInstanceUID = f"{data.StudyInstanceUID}.{series}"
        data.SOPInstanceUID = f"{data.SeriesInstanceUID}.{image}"
        data.PatientID, data.PatientName = f"P{patient:06}", f"{NAMES[patient % len(NAMES)]}^{patient}"
        data.PatientBirthDate, data.PatientSex = f"19{patient % 90 + 10}0101", "F"
        data.StudyDate, data.StudyTime = f"2024{study // 28 % 12 + 1:02}{study % 28 + 1:02}", "120000"
        data.AccessionNumber, data.StudyDescription = f"A{study}", f"THORAX {study}"
        data.StudyID = str(study)
        data.Modality, data.SeriesNumber, data.SeriesDescription = "CT", series, f"SERIES {series}"
        data.InstanceNumber = image
        yield data


def _bytes(data: Dataset) -> bytes:
    buffer = io.BytesIO()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def fill_ours(archive: Path, rows: int) -> None:
    """Rows of the index alone: finding reads nothing else."""
    def records() -> Iterator[Rebuilt]:
        for number, data in enumerate(datasets(rows)):
            content = _bytes(data)
            attributes = read_attributes(content, scan(content)).known()
            name = f"{number:032x}"
            yield Rebuilt(Received(
                sop_instance_uid=str(data.SOPInstanceUID), digest=f"{number:064x}", object_name=name,
                object_sha256=f"{number:064x}", object_size=len(content),
                sop_class_uid=str(data.SOPClassUID), study_instance_uid=str(data.StudyInstanceUID),
                series_instance_uid=str(data.SeriesInstanceUID),
                transfer_syntax_uid="1.2.840.10008.1.2.1", attributes=attributes, described=VERSION,
                source="c-store", calling_ae="BENCH"), State.KEPT, reason="no-pixel-data")

    (archive / "index").mkdir(parents=True)
    with open_index(f"sqlite:///{archive}/index/index.sqlite") as index:
        index.rebuild(records())


def fill_orthanc(orthanc: Orthanc, rows: int, threads: int = 4) -> None:
    """The objects over REST, from several threads."""
    import http.client

    source, lock, failed = datasets(rows), threading.Lock(), []

    def work() -> None:
        connection = http.client.HTTPConnection(HOST, orthanc.http_port, timeout=300)
        while True:
            with lock:
                data = next(source, None)
            if data is None or failed:
                return
            for last in (False, True):
                try:
                    connection.request("POST", "/instances", _bytes(data))
                    answer = connection.getresponse()
                    answer.read()
                    if answer.status != 200:
                        failed.append(answer.status)
                    break
                except (OSError, http.client.HTTPException) as error:
                    connection.close()
                    if last:
                        failed.append(error)

    running = [threading.Thread(target=work) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if failed:
        raise SystemExit(f"Orthanc could not be filled: {failed[0]}")


class Asker:
    """C-FIND over one association that stays open."""

    def __init__(self, port: int, title: str) -> None:
        entity = AE("ASKER")
        entity.add_requested_context(MODEL)
        self._association = entity.associate(HOST, port, ae_title=title)
        if not self._association.is_established:
            raise SystemExit(f"{title} did not accept the association")

    def ask(self, name: str) -> set[str]:
        """The UIDs of the answers to a question of KEYS."""
        keys = KEYS[name]
        level = keys["QueryRetrieveLevel"]
        query = Dataset()
        for keyword in _RETURNED[level]:
            setattr(query, keyword, "")
        for keyword, value in keys.items():
            setattr(query, keyword, value)
        found: set[str] = set()
        for status, answer in self._association.send_c_find(query, MODEL):
            code: Any = status.get("Status")
            if code in (0xFF00, 0xFF01):
                found.add(str(answer[_UID[level]].value))
            elif code != 0:
                raise SystemExit(f"C-FIND {name}: status {code}")
        return found

    def close(self) -> None:
        self._association.release()
