"""compress, restore and verify walk a tree, go on after bad files, and say so in their exit code."""

from __future__ import annotations

import filecmp
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from click.testing import CliRunner, Result
from pydicom.dataset import Dataset, FileMetaDataset

from dicomnn.cli import main
from dicomnn.flow.files import plan
from dicomnn.flow.pool import run_jobs


def dicomnn(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def image(path: Path, words: np.ndarray, syntax: str = pydicom.uid.ExplicitVRLittleEndian) -> Path:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4"
    dataset.Modality, dataset.PatientID = "CT", "P1"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = words.shape
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.PixelData = words.tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def smooth(seed: int) -> np.ndarray:
    y, x = np.mgrid[0:96, 0:80]
    noise = np.random.default_rng(seed).normal(0, 3, x.shape)
    return (1000 + 300 * np.sin(x / 9 + seed) + 200 * np.cos(y / 7) + noise).astype("<u2")


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One run of compress, restore and verify over the same tree."""
    root = tmp_path_factory.mktemp("trees")
    study = root / "study"
    for number in range(3):
        image(study / f"series{number % 2}" / f"{number}.dcm", smooth(number))
    noise = np.random.default_rng(9).integers(0, 1 << 16, (40, 40)).astype("<u2")
    image(study / "noise.dcm", noise)
    (study / "notes").mkdir()
    (study / "notes" / "read.me").write_text("not an image, only words about one")
    runs = {
        "compress": dicomnn("compress", study, root / "coded", "--jobs", 2),
        "restore": dicomnn("restore", root / "coded", root / "back", "--jobs", 1),
        "verify": dicomnn("verify", "--json", "--jobs", 1, root / "coded", study),
    }
    return {"root": root, "study": study, **runs}


def test_a_tree_comes_back_as_it_was(trees: dict[str, Any]) -> None:
    study, back = trees["study"], trees["root"] / "back"
    files = sorted(path.relative_to(study) for path in study.rglob("*.dcm"))
    assert files == sorted(path.relative_to(back) for path in back.rglob("*") if path.is_file())
    assert all(filecmp.cmp(study / name, back / name, shallow=False) for name in files)


def test_compress_says_what_it_coded_kept_and_skipped(trees: dict[str, Any]) -> None:
    assert trees["compress"].exit_code == 0
    output = trees["compress"].stdout
    assert "3 coded, 1 kept, 1 skipped" in output
    assert "kept (not-smaller): 1" in output and "read.me" in output


def test_the_coded_tree_is_complete_and_smaller(trees: dict[str, Any]) -> None:
    coded, study = trees["root"] / "coded", trees["study"]
    assert (coded / "noise.dcm").read_bytes() == (study / "noise.dcm").read_bytes()
    assert not (coded / "notes").exists()
    for name in ("series0/0.dcm", "series1/1.dcm", "series0/2.dcm"):
        assert (coded / name).stat().st_size < (study / name).stat().st_size
    assert not list(trees["root"].rglob(".*.part"))


def test_verify_gives_one_json_object(trees: dict[str, Any]) -> None:
    report = json.loads(trees["verify"].stdout)
    assert trees["verify"].exit_code == 0
    assert (report["schema"], report["ok"]) == ("dicomnn.verify/1", True)
    assert (report["files"], report["verified"], report["not_coded"], report["failed"]) == (4, 3, 1, 0)
    first = report["items"][1]
    assert (first["path"], first["status"], first["exact"]) == ("series0/0.dcm", "verified", "data-set")
    assert first["file_identical"] is True and len(first["dataset_digest"]) == 64


def test_a_damaged_file_is_listed_and_the_others_are_done(trees: dict[str, Any], tmp_path: Path) -> None:
    coded = tmp_path / "coded"
    shutil.copytree(trees["root"] / "coded", coded)
    raw = bytearray((coded / "series1" / "1.dcm").read_bytes())
    start = raw.index(b"DNNP")
    raw[start + 400] ^= 1
    (coded / "series1" / "1.dcm").write_bytes(raw)
    (coded / "series0" / "0.dcm").write_bytes((trees["study"] / "series0" / "0.dcm").read_bytes()[:3000])
    result = dicomnn("restore", coded, tmp_path / "back", "--jobs", 1)
    assert result.exit_code == 1
    assert "1 failed:" in result.stdout and "series1/1.dcm" in result.stdout and "What to do" in result.stdout
    assert not (tmp_path / "back" / "series1" / "1.dcm").exists()
    assert (tmp_path / "back" / "series0" / "2.dcm").exists()
    assert "Traceback" not in result.output


def test_a_truncated_original_is_kept_as_it_is(trees: dict[str, Any], tmp_path: Path) -> None:
    whole = (trees["study"] / "series0" / "0.dcm").read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[:3000])
    result = dicomnn("compress", tmp_path / "cut.dcm", "--jobs", 1)
    assert result.exit_code == 0 and "kept (pixel-data-short): 1" in result.stdout
    assert (tmp_path / "cut.coded.dcm").read_bytes() == whole[:3000]


def test_existing_files_are_not_overwritten_unasked(trees: dict[str, Any], tmp_path: Path) -> None:
    target = tmp_path / "0.dcm"
    target.write_text("precious")
    source = trees["study"] / "series0" / "0.dcm"
    refused = dicomnn("compress", source, target, "--jobs", 1)
    assert refused.exit_code == 1 and "exists already" in refused.stdout
    assert target.read_text() == "precious"
    assert dicomnn("compress", source, target, "--jobs", 1, "--overwrite").exit_code == 0
    assert target.read_bytes()[128:132] == b"DICM"


def test_verify_finds_an_original_that_is_another(trees: dict[str, Any]) -> None:
    result = dicomnn(
        "verify",
        "--json",
        "--jobs",
        1,
        trees["root"] / "coded" / "series0" / "0.dcm",
        trees["study"] / "series1" / "1.dcm",
    )
    assert result.exit_code == 1
    assert json.loads(result.stdout)["items"][0]["code"] == "restore-mismatch"


def test_info_tells_both_forms(trees: dict[str, Any]) -> None:
    coded = json.loads(dicomnn("info", "--json", trees["root"] / "coded" / "series0" / "0.dcm").stdout)
    plain = json.loads(dicomnn("info", "--json", trees["study"] / "series0" / "0.dcm").stdout)
    assert (coded["coded"], plain["coded"]) == (True, False)
    assert coded["image"] == plain["image"] and coded["image"]["rows"] == 96
    assert sum(coded["tiles"].values()) == 1 and coded["exact"] == "data-set"
    assert (plain["eligible"], plain["reason"]) == (True, None)
    text = dicomnn("info", trees["root"] / "coded" / "series0" / "0.dcm").stdout
    assert "a coded object" in text and "1 x 96 x 80" in text


# ------------------------------------------------------------------ usage
@pytest.mark.parametrize(
    "arguments, words",
    [
        (["compress", "{root}/absent"], "there is no file"),
        (["compress", "{root}", "{root}"], "never replaced in place"),
        (["compress", "{root}", "{root}/below"], "inside of each other"),
        (["compress", "{root}", "--profile", "lossy:ratio=0"], "out of range"),
        (["compress", "{root}", "--profile", "small"], "no profile"),
        (["compress", "{root}", "--effort", "huge"], "huge"),
        (["verify", "{root}", "{root}/a.txt"], "mirrors"),
        (["info", "{root}/absent"], "there is no file"),
        (["nonsense"], "Commands: "),
    ],
)
def test_wrong_usage_is_a_sentence_and_exit_code_2(arguments: list[str], words: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    result = dicomnn(*[argument.format(root=tmp_path) for argument in arguments])
    assert result.exit_code == 2
    assert words in result.stderr and "Traceback" not in result.output


def test_an_error_is_one_line_even_when_the_name_is_hostile(tmp_path: Path) -> None:
    path = tmp_path / "a\nb\x1b[31m.dcm"
    path.write_text("this is not an image")
    result = dicomnn("info", path)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1 and "\x1b" not in result.stderr


def test_help_lists_the_commands_without_importing_heavy_things() -> None:
    import subprocess
    import sys

    listed = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, dicomnn, dicomnn.cli\n"
            "from click.testing import CliRunner\n"
            "print(CliRunner().invoke(dicomnn.cli.main, ['--help']).output)\n"
            "print('heavy:', sorted({'torch', 'numba', 'imagecodecs'} & set(sys.modules)))",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert all(name in listed for name in ("compress", "restore", "verify", "info"))
    assert "heavy: []" in listed


def test_targets_mirror_the_tree(tmp_path: Path) -> None:
    (tmp_path / "study" / "a").mkdir(parents=True)
    (tmp_path / "study" / "a" / "x.dcm").write_bytes(b"x")
    planned = plan("compress", tmp_path / "study", None, jobs=2)
    assert [job.target for job in planned] == [tmp_path / "study-coded" / "a" / "x.dcm"]
    single = plan("restore", tmp_path / "study" / "a" / "x.dcm", None, jobs=2)
    assert [(job.target, job.threads) for job in single] == [(tmp_path / "study" / "a" / "x.restored.dcm", 2)]


# ------------------------------------------------------------------ worker processes
def work_or_die(job: int, tell: Any) -> str:
    import os
    import signal

    tell(1, 2)
    if job % 3 == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return f"done {job}"


def test_a_worker_that_dies_takes_only_its_own_job_with_it() -> None:
    told: list[int] = []
    results = sorted(
        run_jobs(
            range(5),
            work_or_die,
            workers=2,
            died=lambda job, why: f"dead {job} {why}",
            progress=lambda job, done, total: told.append(job),
        )
    )
    assert [result[:6] for result in results] == ["dead 1", "dead 4", "done 0", "done 2", "done 3"]
    assert "SIGKILL" in results[0]
    assert sorted(told) == [0, 1, 2, 3, 4]
