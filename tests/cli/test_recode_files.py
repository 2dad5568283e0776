"""``dicomnn recode PATH``: a tree of coded files, coded again where that makes them smaller."""

from __future__ import annotations

import filecmp
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_files import dicomnn, image, smooth


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A study coded fast, with a file that was not coded, coded again."""
    root = tmp_path_factory.mktemp("recode")
    for number in range(2):
        image(root / "study" / f"series{number}" / f"{number}.dcm", smooth(number))
    assert dicomnn("compress", root / "study", root / "coded", "--effort", "fast", "--jobs", 1).exit_code == 0
    shutil.copy(root / "study" / "series0" / "0.dcm", root / "coded" / "plain.dcm")
    (root / "coded" / "read.me").write_text("not an image, only words about one")
    result = dicomnn("recode", root / "coded", root / "again", "--jobs", 1)
    return {"root": root, "result": result}


def test_a_tree_is_recoded_and_what_is_not_coded_is_copied(trees: dict[str, Any]) -> None:
    root, result = trees["root"], trees["result"]
    assert result.exit_code == 0
    assert "1 copied, 2 recoded, 1 skipped" in result.stdout
    for name in ("series0/0.dcm", "series1/1.dcm"):
        assert (root / "again" / name).stat().st_size < (root / "coded" / name).stat().st_size
    assert filecmp.cmp(root / "again" / "plain.dcm", root / "coded" / "plain.dcm", shallow=False)
    assert not list(root.rglob(".*.part"))


def test_what_comes_back_is_the_original(trees: dict[str, Any]) -> None:
    root = trees["root"]
    assert dicomnn("restore", root / "again", root / "back", "--jobs", 1).exit_code == 0
    for path in (root / "study").rglob("*.dcm"):
        assert filecmp.cmp(path, root / "back" / path.relative_to(root / "study"), shallow=False)
    info = json.loads(dicomnn("info", "--json", root / "again" / "series0" / "0.dcm").stdout)
    assert info["effort"] == "max" and info["bytes_original"] == (
        root / "study" / "series0" / "0.dcm").stat().st_size


def test_a_second_time_there_is_nothing_to_do(trees: dict[str, Any], tmp_path: Path) -> None:
    source = trees["root"] / "again" / "series0" / "0.dcm"
    result = dicomnn("recode", source, tmp_path / "x.dcm", "--jobs", 1)
    assert result.exit_code == 0 and "kept (no-need): 1" in result.stdout
    assert filecmp.cmp(source, tmp_path / "x.dcm", shallow=False)


def test_lossy_files_are_copied_as_they_are(tmp_path: Path) -> None:
    image(tmp_path / "a.dcm", smooth(3))
    dicomnn("compress", tmp_path / "a.dcm", "--profile", "bounded:3", "--effort", "fast", "--jobs", 1)
    result = dicomnn("recode", tmp_path / "a.coded.dcm", "--jobs", 1)
    assert result.exit_code == 0 and "kept (lossy): 1" in result.stdout
    assert filecmp.cmp(tmp_path / "a.coded.dcm", tmp_path / "a.recoded.dcm", shallow=False)


def test_a_damaged_file_is_listed_and_the_others_are_done(trees: dict[str, Any], tmp_path: Path) -> None:
    coded = shutil.copytree(trees["root"] / "coded", tmp_path / "coded")
    raw = bytearray((coded / "series1" / "1.dcm").read_bytes())
    raw[raw.index(b"DNNP") + 400] ^= 1
    (coded / "series1" / "1.dcm").write_bytes(raw)
    result = dicomnn("recode", coded, tmp_path / "again", "--jobs", 1)
    assert result.exit_code == 1 and "1 failed:" in result.stdout
    assert "series1/1.dcm [payload-corrupt]" in result.stdout and "What to do" in result.stdout
    assert (tmp_path / "again" / "series0" / "0.dcm").exists()
    assert not (tmp_path / "again" / "series1" / "1.dcm").exists()


@pytest.mark.parametrize("arguments, words", [
    (["{root}", "--dry-run"], "--dry-run cannot be used with a PATH"),
    (["{root}", "--archive", "{root}", "--older-than", "3"], "--archive, --older-than cannot be used"),
    (["--archive", "{root}/nothing"], "there is no archive"),
    (["--archive", "{root}", "--overwrite"], "give a PATH"),
    (["{root}/absent"], "there is no file"),
    (["{root}", "{root}"], "never replaced in place"),
    (["{root}", "--effort", "huge"], "huge"),
    (["{root}", "--model", "latest"], "latest"),
    (["--archive", "{root}", "--limit", "0"], "limit"),
])
def test_wrong_usage_is_a_sentence_and_exit_code_2(arguments: list[str], words: str, tmp_path: Path) -> None:
    result = dicomnn("recode", *[argument.format(root=tmp_path) for argument in arguments])
    assert result.exit_code == 2
    assert words in result.stderr and "Traceback" not in result.output
