"""The demo's own scanner and viewer: it moves bytes as they are, and it notices when they are not."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRBigEndian
from pynetdicom import AE, evt
from pynetdicom.sop_class import MRImageStorage
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelGet as StudyGet
from rich.console import Console

from demo import page
from demo.modality import DemoFailed, Node, Study, data_set_bytes, fetch, identical, read_study, send


class MemoryNode:
    """A peer that keeps data sets in memory and answers with ``status``."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.status = 0x0000
        entity = AE("MEMORY")
        entity.add_supported_context(StudyGet)
        entity.add_supported_context(MRImageStorage, ExplicitVRBigEndian, scu_role=True, scp_role=True)
        self.server = entity.start_server(("127.0.0.1", 0), block=False,
                                          evt_handlers=[(evt.EVT_C_STORE, self.keep)])
        assert self.server is not None
        self.node = Node("127.0.0.1", self.server.socket.getsockname()[1], "MEMORY")

    def keep(self, event: evt.Event) -> int:
        self.kept[str(event.request.AffectedSOPInstanceUID)] = event.request.DataSet.getvalue()
        return self.status


@pytest.fixture
def memory_node() -> Iterator[MemoryNode]:
    node = MemoryNode()
    yield node
    node.server.shutdown()


@pytest.fixture
def study(sample_data: Path) -> Study:
    return read_study(sample_data / "mr_flow_bigendian")


def test_a_file_goes_over_the_network_with_its_own_bytes(memory_node: MemoryNode, study: Study) -> None:
    send(memory_node.node, study, lambda image: None)
    (image,) = study.images
    assert memory_node.kept == {image.sop_instance_uid: data_set_bytes(image.path)}


def test_a_status_other_than_success_fails_the_demo(memory_node: MemoryNode, study: Study) -> None:
    memory_node.status = 0xA700
    with pytest.raises(DemoFailed, match="A700"):
        send(memory_node.node, study, lambda image: None)


def test_a_node_that_has_nothing_to_give_fails_the_demo(memory_node: MemoryNode, study: Study) -> None:
    with pytest.raises(DemoFailed, match="C-GET"):
        fetch(memory_node.node, study, lambda image: None)


def test_one_changed_byte_or_a_missing_image_is_not_identical(study: Study) -> None:
    (image,) = study.images
    assert identical(study, {image.sop_instance_uid: image.digest}) == 1
    assert identical(study, {image.sop_instance_uid: "0" * 64}) == 0
    assert identical(study, {}) == 0


def test_the_table_names_sizes_shares_and_what_did_not_come_back(study: Study, tmp_path: Path) -> None:
    totals = {"bytes_after": study.size // 2, "tile_shares": {"jpegls": 0.25, "neural": 0.75}, "kept": {}}
    good = page.Outcome(study, totals, 1, tmp_path / "a.html")
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(page.result_table([good, replace(good, identical=0)]))
    text = console.export_text()
    assert "neural 75%, jpegls 25%" in text
    assert "1 of 1" in text and "0 of 1" in text and "1 of 2" in text
    assert "(50%)" in text
