"""One script of dicomweb-client, run against the node and against Orthanc's DICOMweb plugin.

That it passes against both proves the script; what only the node promises is tested at the end.
"""

from __future__ import annotations

import io
import urllib.request
import warnings
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient

from demo.node import RunningNode
from tests.peers.orthanc import DICOMWEB_PLUGIN, Orthanc
from tests.peers.programs import wait_idle

pytestmark = pytest.mark.peers

EXPLICIT, JPEG_LS, JPEG_2000 = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"
FOLDERS = ("ct_thorax", "mr_brain", "dx_chest", "mr_multiframe")


@dataclass
class Server:
    """A DICOMweb service with the made studies in it."""

    name: str
    client: DICOMwebClient


@pytest.fixture(scope="module", params=["node", "orthanc"])
def server(request: pytest.FixtureRequest, node: RunningNode, sample_data: Path) -> Server:
    if request.param == "orthanc":
        if not DICOMWEB_PLUGIN.exists():
            pytest.skip("not installed: Orthanc's DICOMweb (Debian: orthanc-dicomweb)")
        peer: Orthanc = request.getfixturevalue("orthanc")
        url = f"http://127.0.0.1:{peer.http_port}/dicom-web"
    else:
        url = node.web + "/dicom-web"
    client = DICOMwebClient(url)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for folder in FOLDERS:
            datasets = [pydicom.dcmread(path) for path in sorted((sample_data / folder).glob("*.dcm"))]
            answer = client.store_instances(datasets)
            assert len(answer.ReferencedSOPSequence) == len(datasets)
            assert "FailedSOPSequence" not in answer or not answer.FailedSOPSequence
    if request.param == "node":
        wait_idle(node)
    return Server(request.param, client)


def originals(sample_data: Path, folder: str) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in sorted((sample_data / folder).glob("*.dcm"))]


def uids(dataset: pydicom.Dataset) -> tuple[str, str, str]:
    return dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID


def test_studies_series_and_instances_are_found(server: Server, sample_data: Path) -> None:
    client = server.client
    for folder in FOLDERS:
        datasets = originals(sample_data, folder)
        study = datasets[0].StudyInstanceUID
        (row,) = client.search_for_studies(search_filters={"StudyInstanceUID": study},
                                           fields=["StudyDescription", "ModalitiesInStudy"])
        found = pydicom.Dataset.from_json(row)
        assert found.PatientID == datasets[0].PatientID and found.StudyDate == datasets[0].StudyDate
        series = client.search_for_series(study)
        assert {pydicom.Dataset.from_json(each).SeriesInstanceUID for each in series} == {
            each.SeriesInstanceUID for each in datasets}
        instances = client.search_for_instances(study)
        assert {pydicom.Dataset.from_json(each).SOPInstanceUID for each in instances} == {
            each.SOPInstanceUID for each in datasets}
    if server.name == "node":       # Orthanc's plugin 1.7 does not decode the %2A and %3F that clients send
        assert len(client.search_for_studies(search_filters={"PatientName": "Phantom*"})) >= len(FOLDERS)
        assert len(client.search_for_studies(search_filters={"PatientID": "DEMO-000?"}, limit=2)) == 2
    assert len(client.search_for_studies(search_filters={"PatientID": "DEMO-0001"})) == 1
    assert len(client.search_for_studies(limit=2)) == 2
    assert client.search_for_studies(search_filters={"PatientID": "nobody"}) == []
    assert client.search_for_studies(search_filters={"StudyDate": "19000101-19000102"}) == []


def test_metadata_are_the_original_attributes(server: Server, sample_data: Path) -> None:
    for folder in FOLDERS:
        for dataset in originals(sample_data, folder):
            found = pydicom.Dataset.from_json(server.client.retrieve_instance_metadata(*uids(dataset)),
                                              lambda tag, vr, uri: None)
            for keyword in ("PatientName", "Rows", "Columns", "BitsStored", "PixelRepresentation", "Modality",
                            "ImagePositionPatient", "PixelSpacing", "RescaleSlope", "WindowCenter",
                            "NumberOfFrames", "SOPClassUID", "FrameOfReferenceUID"):
                assert found.get(keyword) == dataset.get(keyword), (folder, keyword)
    series = originals(sample_data, "ct_thorax")
    assert len(server.client.retrieve_series_metadata(*uids(series[0])[:2])) == len(series)


def test_frames_are_the_original_pixels(server: Server, sample_data: Path) -> None:
    for folder in FOLDERS:
        dataset = originals(sample_data, folder)[0]
        count = int(dataset.get("NumberOfFrames", 1))
        numbers = [1, count] if count > 1 else [1]
        frames = server.client.retrieve_instance_frames(*uids(dataset), frame_numbers=numbers, media_types=(
            ("application/octet-stream", EXPLICIT),))
        array = dataset.pixel_array if count > 1 else dataset.pixel_array[None]
        for number, frame in zip(numbers, frames, strict=True):
            got = np.frombuffer(frame, f"<u{dataset.BitsAllocated // 8}", dataset.Rows * dataset.Columns)
            expected = array[number - 1].astype(array.dtype.newbyteorder("<")).view(got.dtype)
            assert np.array_equal(got.reshape(dataset.Rows, dataset.Columns), expected), folder


def test_instances_and_series_come_back_with_their_pixels(server: Server, sample_data: Path) -> None:
    datasets = {each.SOPInstanceUID: each for each in originals(sample_data, "mr_brain")}
    first = next(iter(datasets.values()))
    alone = server.client.retrieve_instance(*uids(first))
    assert np.array_equal(alone.pixel_array, first.pixel_array)
    for found in server.client.retrieve_study(first.StudyInstanceUID):
        assert np.array_equal(found.pixel_array, datasets.pop(found.SOPInstanceUID).pixel_array)
    assert not datasets


def test_a_rendered_frame_is_a_picture_of_its_size(server: Server, sample_data: Path) -> None:
    dataset = originals(sample_data, "dx_chest")[0]
    data = server.client.retrieve_instance_rendered(*uids(dataset), media_types=("image/png",))
    assert imagecodecs.png_decode(data).shape[:2] == (dataset.Rows, dataset.Columns)
    data = server.client.retrieve_instance_rendered(*uids(dataset), media_types=("image/jpeg",))
    assert imagecodecs.jpeg8_decode(data).shape[:2] == (dataset.Rows, dataset.Columns)


# ------------------------------------------------------------------ what the node promises beyond that
def test_the_node_gives_lossless_frames_in_what_the_client_prefers(
        node: RunningNode, sample_data: Path) -> None:
    client = DICOMwebClient(node.web + "/dicom-web")
    for dataset in originals(sample_data, "ct_thorax")[:2]:
        client.store_instances([dataset])
        bits = (1 << dataset.BitsStored) - 1
        for media, syntax, decode in (("image/jls", JPEG_LS, imagecodecs.jpegls_decode),
                                      ("image/jp2", JPEG_2000, imagecodecs.jpeg2k_decode)):
            (frame,) = client.retrieve_instance_frames(*uids(dataset), frame_numbers=[1],
                                                       media_types=((media, syntax),))
            assert np.array_equal(decode(frame).astype(np.int64) & bits,
                                  dataset.pixel_array.astype(np.int64) & bits)


def test_the_node_gives_every_file_back_byte_for_byte(node: RunningNode, sample_data: Path) -> None:
    for path in sorted((sample_data / "ct_head").glob("*.dcm")):
        data = path.read_bytes()
        dataset = pydicom.dcmread(io.BytesIO(data))
        store = urllib.request.Request(node.web + "/dicom-web/studies", data,
                                       {"Content-Type": "application/dicom"})
        with urllib.request.urlopen(store) as answer:
            assert answer.status == 200
        study, series, instance = uids(dataset)
        for _ in range(2):
            get = urllib.request.Request(
                f"{node.web}/dicom-web/studies/{study}/series/{series}/instances/{instance}",
                headers={"Accept": "application/dicom; transfer-syntax=*"})
            with urllib.request.urlopen(get) as answer:
                assert answer.read() == data
            wait_idle(node)
