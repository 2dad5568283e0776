"""OHIF in Chromium lists our studies and draws them, from our DICOMweb alone.

The built viewer comes from npm (`make ohif` fetches it; nothing of it is kept in the repository), the driver
of the browser lies in shared/tools beside the checkout.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from pydicom import dcmread

from demo.node import RunningNode
from tests.peers.programs import wait_idle

pytestmark = pytest.mark.peers

CHECKOUT = Path(__file__).resolve().parent.parent.parent
CHECK = Path(os.environ.get("DICOMNN_SHARED_TOOLS", CHECKOUT.parent / "shared" / "tools")) / "ohif_check.py"
VIEWER = Path(os.environ.get("DICOMNN_OHIF", CHECKOUT / "build" / "ohif" / "package" / "dist"))
CHROMIUM = Path("/usr/bin/chromium")
STUDIES = {"CT": "ct_thorax", "MR": "mr_brain", "DX": "dx_chest"}


@pytest.fixture(scope="module")
def viewer() -> Path:
    """The built OHIF."""
    missing = [name for name, path in (
        (f"{CHECK} (DICOMNN_SHARED_TOOLS)", CHECK), ("Chromium (Debian: chromium)", CHROMIUM),
        ("OHIF (make ohif, or DICOMNN_OHIF)", VIEWER / "index.html")) if not path.exists()]
    if missing:
        pytest.skip(f"not there: {', '.join(missing)}")
    return VIEWER


@pytest.mark.parametrize("modality", list(STUDIES))
@pytest.mark.timeout(300)
def test_ohif_lists_and_shows(modality: str, viewer: Path, node: RunningNode, sample_data: Path,
                              tmp_path: Path) -> None:
    files = sorted((sample_data / STUDIES[modality]).glob("*.dcm"))
    for path in files:
        request = urllib.request.Request(node.web + "/dicom-web/studies", path.read_bytes(),
                                         {"Content-Type": "application/dicom"})
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 200
    assert wait_idle(node)["coded"]
    out = Path(os.environ.get("DICOMNN_SCREENSHOTS", tmp_path)) / modality
    study = dcmread(files[0], stop_before_pixels=True).StudyInstanceUID
    done = subprocess.run([sys.executable, str(CHECK), "--dist", str(viewer), "--dicomweb",
                           node.web + "/dicom-web", "--study", study, "--out", str(out), "--strict"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["listed"] and result["drawn"] and not result["bad_calls"], result
