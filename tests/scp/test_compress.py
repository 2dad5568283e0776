"""Images compressed on the way, for peers whose configuration asks for it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest

from dicomnn.dicom.syntaxes import COMPRESSIONS
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
