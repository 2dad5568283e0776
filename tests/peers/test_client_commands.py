"""``dicomnn echo``, ``find``, ``store`` and ``get`` against DCMTK's storescp and dcmqrscp."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from demo.modality import data_set_bytes
from demo.node import free_port
from tests.cli.test_files import dicomnn
from tests.peers.programs import by_uid, qrscp, sink, study_uid

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, sample_data: Path) -> Iterator[str]:
    """dcmqrscp's address, with two studies that were sent there with `store`."""
    with qrscp(tmp_path_factory.mktemp("qrscp"), free_port(), {}) as port:
        address = f"QRSCP@127.0.0.1:{port}"
        done = dicomnn("store", address, sample_data / "ct_thorax", sample_data / "mr_brain")
        assert done.exit_code == 0 and "sent" in done.stdout, done.output
        yield address


def test_echo_of_dcmqrscp_and_storescp(archive: str, tmp_path: Path) -> None:
    done = dicomnn("echo", archive)
    assert done.exit_code == 0 and "accepted  Study Root Query/Retrieve" in done.stderr, done.output
    with sink(tmp_path) as port:
        done = dicomnn("echo", f"SINK@127.0.0.1:{port}")
        assert done.exit_code == 0 and "refused   Study Root Query/Retrieve" in done.stderr, done.output


def test_store_to_storescp_gives_the_bytes_of_the_files(sample_data: Path, tmp_path: Path) -> None:
    with sink(tmp_path / "in") as port:
        done = dicomnn("store", f"SINK@127.0.0.1:{port}", sample_data)
    assert done.exit_code == 0, done.output
    sent = {
        str(dcmread(path, stop_before_pixels=True).SOPInstanceUID): data_set_bytes(path)
        for path in sample_data.rglob("*.dcm")
    }
    assert by_uid(tmp_path / "in") == sent


def test_find_lists_what_dcmqrscp_has(archive: str, sample_data: Path) -> None:
    found = json.loads(dicomnn("find", archive, "--json", "-k", "PatientName=phantom*").stdout)
    assert {row["StudyInstanceUID"] for row in found["answers"]} <= {
        study_uid(sample_data / name) for name in ("ct_thorax", "mr_brain")
    }
    wanted = study_uid(sample_data / "ct_thorax")
    done = dicomnn("find", archive, "--level", "series", "-k", f"StudyInstanceUID={wanted}")
    assert done.exit_code == 0 and "1 answers" in done.stdout and "CT" in done.stdout, done.output


def test_get_from_dcmqrscp_brings_every_image_of_a_study(
    archive: str, sample_data: Path, tmp_path: Path
) -> None:
    folder = sample_data / "ct_thorax"
    done = dicomnn("get", archive, tmp_path, "-k", f"StudyInstanceUID={study_uid(folder)}")
    assert done.exit_code == 0, done.output
    sent = {str(header.SOPInstanceUID): header for header in map(dcmread, folder.glob("*.dcm"))}
    came = {str(header.SOPInstanceUID): header for header in map(dcmread, tmp_path.iterdir())}
    assert set(came) == set(sent)
    assert all((came[uid].pixel_array == sent[uid].pixel_array).all() for uid in sent)


def test_get_from_a_peer_that_has_no_c_get_is_exit_1(tmp_path: Path) -> None:
    with sink(tmp_path / "in") as port:
        done = dicomnn("get", f"SINK@127.0.0.1:{port}", tmp_path / "out", "-k", "StudyInstanceUID=1.2.3")
    assert done.exit_code == 1 and "does not offer" in done.stderr, done.output
