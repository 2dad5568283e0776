"""`dicomnn orthanc import|export`: Orthanc's folder in and out, any number of times, and nothing is lost."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dicomnn.cli import main
from dicomnn.flow.opening import Place, open_archive
from tests.flow.test_attachments import as_file, before_pixels
from tests.scp.peer import image


def orthanc(*arguments: object) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(main, ["orthanc", *map(str, arguments), "--json"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, json.loads(done.stdout) if done.exit_code < 2 else {}


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As Orthanc lays it out: two images with their beginnings, a note, and a file that is no attachment."""
    items = [image(number, rows=48, columns=48) for number in (1, 2)]
    contents = [as_file(item) for item in items]
    contents += [before_pixels(item, content) for item, content in zip(items, contents, strict=True)]
    for number, content in enumerate([*contents, b"a note"]):
        name = str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))
        path = tmp_path / "db" / name[0:2] / name[2:4] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "db" / "index").write_bytes(b"not an attachment")
    return tmp_path / "db"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    with open_archive(Place(str(tmp_path / "archive"))):
        return tmp_path / "archive"


def test_the_folder_goes_in_and_out_again_and_is_the_same(
        folder: Path, archive: Path, tmp_path: Path) -> None:
    before = files(folder)
    del before["index"]
    code, told = orthanc("import", folder, "--archive", archive)
    assert (code, told["done"], told["there"], told["failed"]) == (0, 5, 0, [])
    assert orthanc("import", folder, "--archive", archive, "--delete")[1]["there"] == 5
    assert list(files(folder)) == ["index"]
    with open_archive(Place(str(archive))) as opened:
        assert sorted(item.form for item in opened.index.attachments()) == [
            "file", "file", "head", "head", "object"]
        assert list(opened.index.conflicts()) == []
    for done, there in ((5, 0), (0, 5)):
        code, told = orthanc("export", tmp_path / "out", "--archive", archive)
        assert (code, told["done"], told["there"]) == (0, done, there)
    assert files(tmp_path / "out") == before
    broken = next(path for path in (tmp_path / "out").rglob("*-*") if path.is_file())
    broken.write_bytes(b"cut off")
    assert orthanc("export", tmp_path / "out", "--archive", archive)[1]["done"] == 1
    assert files(tmp_path / "out") == before


def test_a_file_whose_name_has_other_bytes_in_the_archive_fails_and_is_not_deleted(
        folder: Path, archive: Path) -> None:
    orthanc("import", folder, "--archive", archive)
    changed = next(path for path in folder.rglob("*-*") if path.is_file() and path.read_bytes() == b"a note")
    changed.write_bytes(b"another note")
    code, told = orthanc("import", folder, "--archive", archive, "--delete")
    assert code == 1 and [failed["uuid"] for failed in told["failed"]] == [changed.name]
    assert changed.read_bytes() == b"another note"


def test_a_damaged_attachment_is_not_written_out(folder: Path, archive: Path, tmp_path: Path) -> None:
    orthanc("import", folder, "--archive", archive)
    with open_archive(Place(str(archive))) as opened:
        item = opened.index.get(image(1).instance)
        path = opened.store.local_path(item.object_name)
        assert path is not None
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:-4] + b"xxxx")
    code, told = orthanc("export", tmp_path / "out", "--archive", archive)
    assert code == 1 and len(told["failed"]) == 1
    assert told["failed"][0]["uuid"] not in files(tmp_path / "out")


def test_no_archive_and_no_folder_are_wrong_use(folder: Path, tmp_path: Path) -> None:
    assert orthanc("export", tmp_path / "out", "--archive", tmp_path / "nothing")[0] == 2
    assert orthanc("import", tmp_path / "nothing", "--archive", tmp_path / "archive")[0] == 2
