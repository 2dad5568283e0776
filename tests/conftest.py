"""Fixtures and rules that every room's tests share."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
PEER_PROGRAMS = ("storescu", "getscu", "dcmdump", "dciodvfy")


def shared_data_folder() -> Path:
    """Where the collection of real files lies: DICOMNN_SHARED_DATA, or shared/data beside the checkout."""
    return Path(os.environ.get("DICOMNN_SHARED_DATA", CHECKOUT.parent / "shared" / "data"))


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that starts the tests in the background lets children ignore Ctrl-C, which some tests send.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folder = shared_data_folder()
    no_data = pytest.mark.skip(reason=f"no collection of real files at {folder} (DICOMNN_SHARED_DATA)")
    missing = [name for name in PEER_PROGRAMS if shutil.which(name) is None]
    no_peers = pytest.mark.skip(reason=f"not installed: {', '.join(missing)} (Debian: dcmtk, dicom3tools)")
    for item in items:
        if item.get_closest_marker("shared_data") and not (folder / "train").is_dir():
            item.add_marker(no_data)
        if item.get_closest_marker("peers") and missing:
            item.add_marker(no_peers)


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The top of the checkout."""
    return CHECKOUT


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The folder of the made studies, one sub-folder a study."""
    return CHECKOUT / "sample_data"


@pytest.fixture(scope="session")
def sample_files(sample_data: Path) -> list[Path]:
    """Every file of the made studies, sorted."""
    return sorted(sample_data.rglob("*.dcm"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The collection of real files; use it only in tests marked `shared_data`."""
    return shared_data_folder()
