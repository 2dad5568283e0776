"""Coded objects in the hands of others: validators and converters take them, and we read them again."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.peers.programs import call

pytestmark = pytest.mark.peers

DICOMNN = Path(sys.executable).with_name("dicomnn")
SAMPLES = ("ct_thorax/ct_04.dcm", "ct_head/ct_01.dcm", "mr_brain/t1_02.dcm", "mr_flow_bigendian/velocity.dcm",
           "mr_multiframe/mr_enhanced.dcm", "dx_chest/chest_pa.dcm", "sc_chart/chart.dcm")


def complaints(path: Path) -> set[str]:
    """Lines of dciodvfy that begin with Error; it tells by these, not by its exit code."""
    return {line for line in call("dciodvfy", path).stdout.splitlines() if line.startswith("Error")}


@pytest.fixture(scope="module")
def coded(sample_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the samples, each one coded."""
    before, after = tmp_path_factory.mktemp("before"), tmp_path_factory.mktemp("coded") / "tree"
    for name in SAMPLES:
        (before / name).parent.mkdir(exist_ok=True)
        (before / name).write_bytes((sample_data / name).read_bytes())
    done = call(DICOMNN, "compress", before, after)
    assert done.returncode == 0, done.stdout
    return after


def test_dciodvfy_finds_no_error_in_any_sample(sample_files: list[Path]) -> None:
    found = {str(path): complaints(path) for path in sample_files}
    assert len(found) > 10
    assert not {name: lines for name, lines in found.items() if lines}


@pytest.mark.parametrize("name", SAMPLES)
def test_dciodvfy_complains_of_a_coded_object_only_that_pixel_data_is_elsewhere(
        name: str, coded: Path, sample_data: Path) -> None:
    new = complaints(coded / name) - complaints(sample_data / name)
    other = {line for line in new if not re.search(r"PixelData|Pixel Data|7fe0,0?010", line, re.IGNORECASE)}
    assert not other


@pytest.mark.parametrize("name", SAMPLES)
def test_dcmdump_reads_a_coded_object_and_finds_the_private_block(name: str, coded: Path) -> None:
    done = call("dcmdump", "-q", "+L", "+P", "7fe1,0010", coded / name)
    assert done.returncode == 0, done.stdout
    assert "DICOMNN" in done.stdout
    assert "7fe0,0010" not in call("dcmdump", "-q", coded / name).stdout.lower()


@pytest.mark.parametrize("syntax", ["+ti", "+te", "+tb"], ids=["implicit", "explicit", "big-endian"])
@pytest.mark.parametrize("lengths", ["-e", "+e"], ids=["undefined-lengths", "explicit-lengths"])
def test_pixels_survive_a_conversion_by_dcmconv_of_the_coded_object(
        syntax: str, lengths: str, coded: Path, sample_data: Path, tmp_path: Path) -> None:
    carried, back = tmp_path / "carried", tmp_path / "back"
    for name in SAMPLES:
        (carried / name).parent.mkdir(parents=True, exist_ok=True)
        done = call("dcmconv", syntax, lengths, coded / name, carried / name)
        assert done.returncode == 0, done.stdout
    done = call(DICOMNN, "restore", carried, back)
    for name in SAMPLES:
        assert (back / name).is_file(), f"{name}: {done.stdout}"
        assert (dcmread(back / name).pixel_array == dcmread(sample_data / name).pixel_array).all(), name
