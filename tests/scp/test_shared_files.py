"""Real and odd files of the collection: stored by the node, given back exact, before and after coding."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest

from dicomnn.flow.ingest import Policy
from dicomnn.flow.opening import Place, open_archive
from tests.faults.campaign import wait_idle
from tests.flow.conftest import Walks
from tests.scp.collection import items, waves
from tests.scp.peer import (
    EXPLICIT,
    Item,
    NodeProcess,
    connected,
    contexts_for,
    get,
    identifier,
    store_raw,
)

BIG = "[node]\nmax_associations_per_peer = 64\n[coding]\neffort = \"fast\"\n[study]\nreports = false\n"
KEEP = BIG + "[storage]\non_identity_mismatch = \"keep\"\n"


def send_all(node: NodeProcess, found: list[Item]) -> dict[str, int | None]:
    statuses: dict[str, int | None] = {}
    pairs = sorted({(i.sop_class, i.syntax) for i in found})
    for first in range(0, len(pairs), 128):
        group = [i for i in found if (i.sop_class, i.syntax) in pairs[first:first + 128]]
        with connected(node.port, contexts_for(group)) as assoc:
            for number, item in enumerate(group):
                statuses[item.instance] = store_raw(assoc, item, number + 1)[0]
    return statuses


def fetch_all(node: NodeProcess, found: list[Item]) -> dict[str, Item]:
    back: dict[str, Item] = {}
    for first in range(0, len(found), 40):
        group = found[first:first + 40]
        pairs = sorted({(i.sop_class, i.syntax) for i in group} | {(i.sop_class, EXPLICIT) for i in group})
        got = get(node.port, identifier("IMAGE", SOPInstanceUID=[i.instance for i in group]), pairs,
                  timeout=300.0)
        assert got.final == 0, (got.final, got.failed, got.comment)
        back |= got.by_uid
    return back


def pixels(dataset: pydicom.Dataset) -> np.ndarray:
    """Decoded by pydicom, or by imagecodecs where pydicom has no plugin (lossless JPEG)."""
    import imagecodecs

    try:
        return np.asarray(dataset.pixel_array)
    except RuntimeError:
        number = int(dataset.get("NumberOfFrames", 1))
        frames = pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=number)
        shape = [imagecodecs.ljpeg_decode(frame) for frame in frames]
        stacked = np.stack(shape) if len(shape) > 1 else shape[0]
        return stacked.view(np.int16) if dataset.PixelRepresentation else stacked


IMAGE = ["Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated",
         "BitsStored", "HighBit", "PixelRepresentation", "PlanarConfiguration", "PixelData"]


def same_image(ours: Item, sent: Item) -> bool:
    """Pixels identical and every byte before them unchanged, for what was encapsulated without loss.

    Only the image's own elements are read by pydicom: it cannot read the rest of some of these files.
    """
    def read(item: Item) -> pydicom.Dataset:
        dataset = pydicom.filereader.read_dataset(io.BytesIO(item.data), False, True,
                                                  specific_tags=[pydicom.tag.Tag(name) for name in IMAGE])
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(item.syntax)
        return dataset

    def before(item: Item) -> bytes:
        head = item.data[:item.data.rindex(b"\xe0\x7f\x10\x00O")]
        # the group length of 7FE0 told the encapsulated size: it rightly goes with the encapsulation
        return head[:-12] if head[-12:-4] == b"\xe0\x7f\0\0UL\4\0" else head

    return before(ours) == before(sent) and np.array_equal(pixels(read(ours)), pixels(read(sent)))


def there_and_back(tmp_path: Path, found: list[Item], config: str, seconds: float) -> None:
    archive = tmp_path / "archive"
    with NodeProcess(archive, "--workers", "-1", config=config) as node:
        statuses = send_all(node, found)
        wrong = {uid: code for uid, code in statuses.items() if code not in (0, 0xB007)}
        assert not wrong, wrong
        back = fetch_all(node, found)
        assert [i.instance for i in found if back.get(i.instance) != i] == []
    with NodeProcess(archive, "--workers", "2", config=config) as node:
        idle = wait_idle(archive, seconds)
        assert idle.returncode == 0, (idle.stderr, node.log[-3000:])
        print(idle.stdout)
        back = fetch_all(node, found)
        different = [i.instance for i in found
                     if back.get(i.instance) != i and not (back[i.instance].syntax != i.syntax
                                                           and same_image(back[i.instance], i))]
        assert different == []


@pytest.mark.shared_data
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_odd_file_is_stored_and_returned_unchanged(tmp_path: Path, shared_data: Path) -> None:
    found = waves(item for _, item in items(shared_data / "odd"))
    assert sum(map(len, found)) > 150
    there_and_back(tmp_path / "0", found[0], KEEP, 900)
    for number, wave in enumerate(found[1:], 1):      # the same walks without sockets and processes
        with open_archive(Place(str(tmp_path / str(number)))) as archive:
            walks = Walks(archive, Policy(keep_mismatched=True))
            for item in wave:
                walks.put(item)
                assert walks.take(item) == item
            walks.code_all()
            for item in wave:
                back = walks.take(item)
                assert back == item or (back.syntax != item.syntax and same_image(back, item)), item.instance


@pytest.mark.shared_data
@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_every_training_file_is_stored_coded_and_returned_exact(tmp_path: Path, shared_data: Path) -> None:
    found = [item for _, item in items(shared_data / "train")]
    assert len(found) > 360
    there_and_back(tmp_path, found, BIG, 6000)
