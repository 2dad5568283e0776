"""Images compressed on the way, for peers whose configuration asks for it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest

from dicomnn.coded.transcode import compress_as
from dicomnn.dicom.syntaxes import COMPRESSIONS
from dicomnn.flow.part10 import file_prefix
from tests.faults.campaign import wait_idle
from tests.scp.objects import made
from tests.scp.peer import CT, EXPLICIT, IMPLICIT, SR, Item, NodeProcess, get_study, send
from tests.scp.receiver import Receiver, move_study

STUDY = "1.2.826.9.7"


def pixels(item: Item) -> np.ndarray:
    dataset = pydicom.filereader.read_dataset(io.BytesIO(item.data), item.syntax == IMPLICIT, True)
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(item.syntax)
    if item.syntax == COMPRESSIONS["htj2k"]:
        import imagecodecs
        (frame,) = pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1)
        return np.asarray(imagecodecs.jpeg2k_decode(frame))
    return np.asarray(dataset.pixel_array)


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_images_reach_such_a_peer_compressed_before_and_after_coding_and_the_rest_as_it_is(
        name: str, tmp_path: Path) -> None:
    wanted, archive = COMPRESSIONS[name], tmp_path / "archive"
    study = f"{STUDY}.1"
    image = made(f"{study}.1.1", study=study, series=f"{study}.1", size=64)
    report = made(f"{study}.1.2", study=study, series=f"{study}.1", sop_class=SR, PatientID="P")
    pairs = [(CT, [EXPLICIT, IMPLICIT, wanted]), (SR, [EXPLICIT, wanted])]
    with Receiver(pairs) as receiver:
        config = (receiver.destination() + f'compress = "{name}"\n' + '[[peers]]\nae_title = "VIEWER"\n'
                  f'compress = "{name}"\n[[peers]]\nae_title = "*"\n[study]\nreports = false\n')
        for coded in (False, True):
            workers = "1" if coded else "-1"
            with NodeProcess(archive, "--workers", workers, config=config) as node:
                if coded:
                    assert wait_idle(archive, 120).returncode == 0
                else:
                    assert send(node.port, [image, report]) == [0, 0]
                receiver.items.clear()
                assert move_study(node.port, study).final == 0
                came = receiver.by_uid
                assert came[report.instance] == report
                assert came[image.instance].syntax == wanted
                assert np.array_equal(pixels(came[image.instance]), pixels(image))
                asked = [(CT, wanted), (CT, EXPLICIT), (SR, EXPLICIT)]
                fetched = get_study(node.port, study, asked, title="VIEWER")
                assert fetched.by_uid == came
                assert get_study(node.port, study, asked).by_uid == {
                    image.instance: image, report.instance: report}, "others get what was sent"
                assert get_study(node.port, study, asked[1:], title="VIEWER").by_uid[image.instance] == image


def test_what_came_in_jpeg_ls_and_was_coded_reaches_a_peer_that_takes_nothing_else(tmp_path: Path) -> None:
    study, archive, packed = f"{STUDY}.2", tmp_path / "archive", COMPRESSIONS["jpeg-ls"]
    image = made(f"{study}.1.1", study=study, series=f"{study}.1", size=64)
    part10, stream = tmp_path / "image.dcm", io.BytesIO()
    part10.write_bytes(file_prefix(CT, image.instance, EXPLICIT) + image.data)
    compress_as(part10, stream, packed)
    sent = Item(CT, image.instance, packed, stream.getvalue())
    with Receiver([(CT, packed)]) as receiver:
        config = receiver.destination() + "[study]\nreports = false\n"
        with NodeProcess(archive, "--workers", "1", config=config) as node:
            assert send(node.port, [sent]) == [0]
            assert wait_idle(archive, 120).returncode == 0
            (plain,) = get_study(node.port, study, [(CT, EXPLICIT)]).items
            assert plain == image, "it was coded: it comes back uncompressed where that is taken"
            assert move_study(node.port, study).final == 0
            (came,) = receiver.items
            assert came.syntax == packed and np.array_equal(pixels(came), pixels(image))
            assert get_study(node.port, study, [(CT, packed)]).items == [came]
