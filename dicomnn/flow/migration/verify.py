"""Every instance read back from the archive, and compared with what came from the source."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dicomnn.archive import Instance, State
from dicomnn.errors import DicomnnError
from dicomnn.flow.migration.ledger import Ledger
from dicomnn.flow.migration.source import batches
from dicomnn.flow.opening import Archive, Place, open_archive
from dicomnn.flow.part10 import data_set_offset
from dicomnn.flow.pool import Tell, run_jobs

BATCH = 16
GOOD = ("exact", "pixels", "bounded", "lossy")
VERDICTS = {
    "exact": "the data set comes back byte for byte as the source gave it",
    "pixels": "it came losslessly compressed: the pixels come back identical, all else unchanged",
    "bounded": "a profile with a bounded error was asked for; it decodes",
    "lossy": "a lossy profile was asked for; it decodes",
    "differs": "what comes back is not what the source gave",
    "missing": "the archive does not have it",
    "damaged": "it cannot be read back",
}
Result = tuple[str, str, str, str, int | None]


@dataclass(frozen=True)
class _Job:
    """items: (item, SOP Instance UID, digest)."""

    place: Place
    items: tuple[tuple[str, str, str], ...]


def verify(
    ledger: Ledger, place: Place, *, jobs: int, tell: Callable[[int, int], None] = lambda *_: None
) -> dict[str, int]:
    """Read every stored instance back, by ``jobs`` processes; how many have which verdict."""
    total, done, counts = ledger.counts()["stored"], 0, dict.fromkeys(VERDICTS, 0)
    rows = [(row.item, row.sop_instance_uid, row.digest) for row in ledger.rows("state = 'stored'")]
    planned = [_Job(place, part) for part in batches(rows, BATCH)]  # type: ignore[arg-type]
    for results in run_jobs(planned, _work, workers=min(jobs, max(1, len(planned))), died=_died):
        ledger.verified(results)
        for _, verdict, *_rest in results:
            counts[verdict] += 1
        done += len(results)
        tell(done, total)
    return counts


def _work(job: _Job, _tell: Tell) -> list[Result]:
    return [_verdict(_opened(job.place), *one) for one in job.items]


def _died(job: _Job, why: str) -> list[Result]:
    return [(item, "damaged", why, "", None) for item, _, _ in job.items]


@cache
def _opened(place: Place) -> Archive:
    return open_archive(place)


def _verdict(archive: Archive, item: str, uid: str, digest: str) -> Result:
    try:
        with archive.pin_current(uid) as (instance, path):
            if instance.digest != digest:
                return item, "differs", "the archive has other content under this UID", instance.digest, None
            if instance.state in (State.CODED, State.RECODING):
                return (item, *_coded(archive, instance, path), instance.object_size)
            with open(path, "rb") as file:
                file.seek(data_set_offset(file))
                back = hashlib.file_digest(file, "sha256").hexdigest()
    except DicomnnError as error:
        word = "missing" if error.code in ("instance-not-found", "object-missing") else "damaged"
        return item, word, error.message, "", None
    except Exception as error:  # noqa: BLE001 - one instance must not end the verification of the others
        return item, "damaged", f"{type(error).__name__}: {error}", "", None
    return item, "exact" if back == digest else "differs", "", back, instance.object_size


def _coded(archive: Archive, instance: Instance, path: Path) -> tuple[str, str, str]:
    from dicomnn.coded.restore import check

    restored = check(path, archive.model, strict=True)
    if restored.exact in ("bounded", "lossy"):
        return restored.exact, "", restored.digest
    if restored.exact == "data-set":
        return "exact" if restored.digest == instance.digest else "differs", "", restored.digest
    # The pixels were compared by digest when they were decoded just now; what is around them too (strict).
    if restored.manifest.original_dataset_digest != instance.digest:
        return "differs", "the coded object is of another original", restored.digest
    return "pixels", "", restored.digest


def recount(ledger: Ledger, studies: Sequence[str], count: Callable[[str], int | None]) -> None:
    """Ask the source again what it counts in each study."""
    for uid in studies:
        ledger.recounted(uid, count(uid))
