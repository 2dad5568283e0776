"""A folder comes into an archive: one row each, the poison set aside, the rest in, byte for byte."""

from __future__ import annotations

import csv
import hashlib
import sqlite3
from pathlib import Path

import pytest

from dicomnn.errors import StoreFull, UsageError
from dicomnn.flow.ingest import Ingest, Policy
from dicomnn.flow.migration.folder import FolderSource
from dicomnn.flow.migration.job import Job, open_job
from dicomnn.flow.migration.landing import ArchiveLanding
from dicomnn.flow.migration.ledger import Ledger
from dicomnn.flow.migration.source import Listed, Listing, Study
from dicomnn.flow.migration.summary import facts, missing, write_csv
from dicomnn.flow.migration.throttle import Throttle
from dicomnn.flow.migration.transfer import Transfer
from dicomnn.flow.part10 import file_prefix
from dicomnn.report.migration import page
from tests.flow.conftest import Walks
from tests.scp.peer import Item, image


def write(path: Path, item: Item, prefix: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((prefix or file_prefix(item.sop_class, item.instance, item.syntax)) + item.data)
    return path


@pytest.fixture
def job(tmp_path: Path, walks: Walks) -> Job:
    folder = tmp_path / "source"
    folder.mkdir()
    return open_job(
        tmp_path / "job", make=True, source=f"folder:{folder}", target=f"archive:{tmp_path / 'archive'}"
    )


def bring(job: Job, walks: Walks) -> int:
    """Inventory and transfer; how many instances came."""
    throttle = Throttle()
    source = FolderSource(Path(job.settings.source.partition(":")[2]), throttle)
    job.ledger.items_found(list(source.items()))
    job.ledger.put("inventory", "complete")
    job.ledger.try_again()
    landing = ArchiveLanding(Ingest(walks.archive, walks.policy), job.ledger, throttle, job=job.settings.id)
    Transfer(job.ledger, source, landing, throttle).run()
    if landing.trouble is not None:
        raise landing.trouble
    return landing.count


def states(job: Job) -> dict[str, tuple[str, str]]:
    return {row.item: (row.state, row.reason) for row in job.ledger.rows()}


def test_every_file_gets_a_row_and_what_is_poison_is_set_aside_with_its_reason(
    job: Job, walks: Walks, tmp_path: Path
) -> None:
    folder = tmp_path / "source"
    good = [image(number) for number in range(3)]
    for number, item in enumerate(good):
        write(folder / f"series{number % 2}" / f"{number}.dcm", item)
    write(folder / "again.dcm", good[0])
    write(folder / "z" / "other.dcm", image(1, seed=5, instance=good[1].instance))
    write(folder / "short.dcm", Item("1.2.3", "1.2.4", good[0].syntax, image(7).data[:-300]))
    (folder / "no-uid.dcm").write_bytes(file_prefix("", "", good[0].syntax) + b"\x10\0\x20\0LO\4\0P123")
    (folder / "hollow.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\2\0\x10\0UI\xff\xff")
    (folder / "notes.txt").write_text("only words, and no image in them at all")
    assert bring(job, walks) == 6
    found = states(job)
    for name in ("series0/0.dcm", "series1/1.dcm", "series0/2.dcm"):
        assert found[name] == ("stored", "")
    # A file that is cut off inside of its pixels is what the source has, and is kept as it is.
    assert found["short.dcm"][0] == "stored"
    assert found["again.dcm"] == ("stored", "") and found["z/other.dcm"] == ("set-aside", "conflict")
    assert found["no-uid.dcm"][0] == "set-aside" and found["hollow.dcm"][0] in ("set-aside", "left")
    assert found["notes.txt"] == ("left", "not-dicom")
    for item in good:
        assert walks.take(item).data == item.data
    told = facts(job)
    assert not told["accounted"] and told["open_exceptions"] == told["set_aside"] > 0
    job.ledger.sign_off([], "M. Muster: seen")
    assert facts(job)["accounted"] and missing(facts(job)) == []


def test_a_second_run_brings_nothing_and_a_mended_file_is_brought(
    job: Job, walks: Walks, tmp_path: Path
) -> None:
    path = write(tmp_path / "source" / "a.dcm", image(1))
    (tmp_path / "source" / "b.dcm").write_bytes(
        file_prefix("", "", image(2).syntax) + b"\x10\0\x20\0LO\4\0P123"
    )
    assert bring(job, walks) == 1
    assert bring(job, walks) == 0 and walks.objects() == 1
    write(tmp_path / "source" / "b.dcm", image(2))
    assert bring(job, walks) == 1 and set(states(job).values()) == {("stored", "")}
    assert path.is_file()


def test_the_rows_digest_is_that_of_the_data_set_and_its_own_file_meta_stays_with_it(
    job: Job, walks: Walks, tmp_path: Path
) -> None:
    item = image(3)
    prefix = bytearray(file_prefix(item.sop_class, item.instance, item.syntax))
    prefix[:10] = b"PREAMBLE!!"
    path = write(tmp_path / "source" / "a.dcm", item, bytes(prefix))
    bring(job, walks)
    (row,) = job.ledger.rows()
    assert row.digest == hashlib.sha256(item.data).hexdigest() and row.bytes == len(item.data)
    _, object_ = walks.archive.open_current(item.instance)
    with object_:
        assert object_.read() == path.read_bytes()
    assert walks.archive.index.get(item.instance).source == f"migrate:{job.settings.id}"


def test_a_full_store_stops_the_run_and_the_next_one_goes_on(job: Job, walks: Walks, tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / "source" / f"{number}.dcm", image(number))
    walks.policy = Policy(minimum_free_bytes=1 << 62)
    with pytest.raises(StoreFull):
        bring(job, walks)
    assert job.ledger.counts()["todo"] == 3
    walks.policy = Policy()
    assert bring(job, walks) == 3


def test_studies_are_not_stable_while_a_series_is_on_its_way_and_are_afterwards(
    job: Job, walks: Walks, tmp_path: Path
) -> None:
    write(tmp_path / "source" / "1.dcm", image(1))
    token = ArchiveLanding(Ingest(walks.archive, Policy()), job.ledger, Throttle(), job=job.settings.id)
    token.begin("killed")  # what a killed run leaves open
    bring(job, walks)
    assert [study.instances for study in walks.archive.index.stable_studies(0.0)] == [1]


def test_a_study_with_more_instances_than_came_is_short_until_signed_off(job: Job) -> None:
    ledger = job.ledger
    ledger.study_found(Study("1.2", "20240101", "CT", 3))
    ledger.study_listed("1.2", Listing([Listed("1.2.1", "1.2.1", study_uid="1.2")], 3))
    ledger.arrived(
        "1.2.1", uid="1.2.1", sop_class="1", study="1.2", syntax="1", size=1, digest="d", kind="new", note=""
    )
    ledger.put("inventory", "complete")
    assert facts(job)["studies_short"] == 1 and not facts(job)["accounted"]
    assert ledger.sign_off(["1.2"], "me: the source counts deleted ones") == 1
    assert facts(job)["accounted"]


def test_what_nobody_announced_gets_a_row_too(job: Job) -> None:
    job.ledger.arrived(
        "1.2.9", uid="1.2.9", sop_class="1", study="1.2", syntax="1", size=1, digest="d", kind="new", note=""
    )
    (row,) = job.ledger.rows()
    assert row.expected_by == "arrival" and row.state == "stored"


def test_three_attempts_are_made_and_the_sources_words_are_kept(job: Job) -> None:
    ledger = job.ledger
    ledger.study_found(Study("1.2"))
    ledger.study_listed(
        "1.2",
        Listing([Listed(f"1.2.{n}", f"1.2.{n}", series_uid="1.2.0", study_uid="1.2") for n in range(2)]),
    )
    wanted = ledger.next_wanted()
    assert wanted is not None and len(wanted.items) == 2 and not wanted.singly
    ledger.not_brought(wanted.items, "A702 out of luck")
    for _ in range(4):
        wanted = ledger.next_wanted()
        assert wanted is not None and wanted.singly and len(wanted.items) == 1
        ledger.not_brought(wanted.items, "C001 no")
    assert ledger.next_wanted() is None
    assert {(row.state, row.reason, row.said) for row in ledger.rows()} == {
        ("failed", "not-delivered", "C001 no")
    }


def test_the_csv_has_a_row_each_and_no_cell_is_a_formula(job: Job, tmp_path: Path) -> None:
    job.ledger.items_found([Listed("=HYPERLINK(1).dcm", state="left"), Listed("b.dcm")])
    assert write_csv(job.ledger, tmp_path / "out.csv") == 2
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    assert [row["item"] for row in rows] == ["'=HYPERLINK(1).dcm", "b.dcm"]


def test_the_page_escapes_what_comes_from_outside(job: Job) -> None:
    from dicomnn.flow.migration.summary import details

    job.ledger.items_found([Listed("<script>x</script>.dcm", state="set-aside", reason="malformed")])
    text = page(details(job), missing(facts(job)))
    assert "<script>" not in text and "&lt;script&gt;" in text


def test_only_one_process_works_on_a_job_and_its_ends_do_not_change(job: Job, tmp_path: Path) -> None:
    again = open_job(job.folder)
    with job.working(), pytest.raises(UsageError, match="another process"), again.working():
        pass
    with pytest.raises(UsageError, match="this job is from"):
        open_job(job.folder, source="folder:/elsewhere")
    with pytest.raises(UsageError, match="no migration job"):
        open_job(tmp_path / "nothing")
    with pytest.raises(UsageError, match="nothing to migrate from"):
        open_job(tmp_path / "new", make=True, source="/plain/path", target="archive:x")
    assert not (tmp_path / "new").exists()


def test_a_ledger_of_another_version_is_refused(tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger.sqlite", make=True).close()
    with sqlite3.connect(tmp_path / "ledger.sqlite") as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(UsageError, match="another version"):
        Ledger(tmp_path / "ledger.sqlite")
