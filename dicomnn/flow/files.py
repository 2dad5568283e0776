"""Files and folders: compress, restore, verify. A tree goes in, the same tree comes out.

Every file is one job for a worker process; a bad one is reported and the walk goes on. An output tree is
complete: objects that are not coded are copied unchanged. Nothing that exists is overwritten unasked, and
every file appears under its name only when it is whole.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dicomnn.coded.spool import path_beside, written_beside
from dicomnn.errors import DataSetMalformed, DicomnnError, NotCoded, NotDicom, UsageError
from dicomnn.flow.pool import Tell, run_jobs

if TYPE_CHECKING:
    from dicomnn.codec.model import Model
    from dicomnn.shelf import Shelf

STATUSES = ("coded", "kept", "restored", "copied", "verified", "not-coded", "skipped", "failed")


@dataclass(frozen=True)
class FileJob:
    """One file to work on. `name` is its path below the folder given (or its own name)."""

    action: str
    name: str
    source: Path
    size: int
    target: Path | None = None
    original: Path | None = None
    profile: str = "lossless"
    effort: str = "default"
    threads: int = 1
    overwrite: bool = False


@dataclass(frozen=True)
class FileResult:
    """What became of one file. `reason` is a reason code or an error code, `detail` a sentence."""

    name: str
    status: str
    reason: str = ""
    detail: str = ""
    bytes_before: int = 0
    bytes_after: int = 0
    exact: str = ""
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)


OnProgress = Callable[[FileJob, int, int], None]


# ------------------------------------------------------------------ which files, and where to
def plan(
    action: str,
    source: Path,
    out: Path | None,
    *,
    profile: str = "lossless",
    effort: str = "default",
    jobs: int = 1,
    overwrite: bool = False,
) -> list[FileJob]:
    """The jobs for a file or a folder.

    `action` is 'compress', 'restore' (`out` is where to, see ``default_target``) or 'verify' (`out` is the
    original, a file or the tree that mirrors `source`, or None). Raises UsageError when `source` is not
    there, or when `out` lies where it must not.
    """
    if not source.exists():
        raise UsageError(f"there is no file or folder '{source}'")
    if action != "verify":
        out = out or default_target(action, source)
        _check_target(source, out)
    elif out is not None and source.is_dir() != out.is_dir():
        raise UsageError("compare a file with a file, or a folder with a folder that mirrors it")
    found = list(_walk(source))
    threads = max(1, jobs // len(found)) if found else 1
    planned = []
    for name, path in found:
        there = out
        if there is not None and (source.is_dir() or (there.is_dir() and action != "verify")):
            there = there / name
        planned.append(
            FileJob(
                action=action,
                name=name,
                source=path,
                size=path.stat().st_size if path.is_file() else 0,
                target=there if action != "verify" else None,
                original=there if action == "verify" else None,
                profile=profile,
                effort=effort,
                threads=threads,
                overwrite=overwrite,
            )
        )
    return planned


def default_target(action: str, source: Path) -> Path:
    """`scan.dcm` -> `scan.coded.dcm` or `scan.restored.dcm`; folder `study` -> `study-coded` ..."""
    word = "coded" if action == "compress" else "restored"
    source = source.resolve() if source.name in ("", "..") else source
    if source.is_dir():
        return source.with_name(f"{source.name}-{word}")
    stem = source.name.removesuffix(source.suffix).removesuffix(".coded")
    return source.with_name(f"{stem}.{word}{source.suffix}")


def _check_target(source: Path, out: Path) -> None:
    inside, outside = source.resolve(), out.resolve()
    if inside == outside:
        raise UsageError("source and target are the same; originals are never replaced in place")
    if source.is_dir() and (inside in outside.parents or outside in inside.parents):
        raise UsageError(f"'{out}' and '{source}' lie inside of each other; give a target elsewhere")
    if source.is_dir() and out.exists() and not out.is_dir():
        raise UsageError(f"'{out}' is a file; the tree of a folder needs a folder")


def _walk(source: Path) -> Iterator[tuple[str, Path]]:
    if not source.is_dir():
        yield source.name, source
        return
    for folder, folders, names in os.walk(source):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            yield str(path.relative_to(source)), path


# ------------------------------------------------------------------ the run
def run(planned: list[FileJob], *, workers: int, progress: OnProgress | None = None) -> Iterator[FileResult]:
    """The results in the order in which they are done, by `workers` processes."""
    return run_jobs(planned, work, workers=min(workers, len(planned)), died=_died, progress=progress)


def work(job: FileJob, tell: Tell) -> FileResult:
    """Do one job here and now. Never raises: what goes wrong is in the result."""
    try:
        if not job.source.is_file():
            return FileResult(job.name, "skipped", "not-a-file", "Not a regular file, or a broken link.")
        if job.target is not None and job.target.exists() and not job.overwrite:
            return _failed(
                job,
                "exists",
                f"{job.target} exists already. What to do: name another target, or allow overwriting.",
            )
        return _ACTIONS[job.action](job, tell)
    except NotDicom as error:
        return FileResult(job.name, "skipped", error.code, _sentence(error, job), bytes_before=job.size)
    except DicomnnError as error:
        return _failed(job, error.code, _sentence(error, job))
    except OSError as error:
        return _failed(
            job, "os", f"{error.strerror or error}. What to do: check the disk and the permissions."
        )
    except MemoryError:
        return _failed(job, "memory", "Not enough memory. What to do: use fewer jobs at a time.")
    except Exception as error:  # a fault of ours must not end the walk over the other files
        return _failed(
            job, "internal", f"{type(error).__name__}: {error}. What to do: please report this case."
        )


def _compress(job: FileJob, tell: Tell) -> FileResult:
    from dicomnn.codec.profile import Profile
    from dicomnn.coded.seal import seal

    target = _target(job)
    shelf = _shelf()
    _must_be_dicom(job.source)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path_beside(target) as temporary:
            sealed = seal(
                job.source,
                temporary,
                profile=Profile.parse(job.profile),
                model=_model(),
                models=shelf.get,
                effort=job.effort,
                threads=job.threads,
                progress=tell,
            )
            if sealed.kind == "kept":
                shutil.copyfile(job.source, temporary)
    except (NotDicom, UsageError, OSError):
        raise
    except Exception as error:
        _copy(job.source, target)
        code, text = (
            (error.code, _sentence(error, job))
            if isinstance(error, DicomnnError)
            else ("internal", f"{type(error).__name__}: {error}. What to do: please report this case.")
        )
        return _failed(job, code, f"{text} The original was copied unchanged.", after=job.size)
    after = sealed.bytes_after if sealed.kind == "coded" else job.size
    return FileResult(
        job.name,
        sealed.kind,
        sealed.reason or "",
        sealed.detail,
        job.size,
        after,
        sealed.manifest.exact if sealed.manifest else "",
        sealed.seconds,
        sealed.facts(),
    )


def _restore(job: FileJob, tell: Tell) -> FileResult:
    from dicomnn.coded.restore import restore

    target = _target(job)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        restored = restore(job.source, target, _shelf().get, threads=job.threads, progress=tell)
    except NotCoded:
        _copy(job.source, target)
        return FileResult(
            job.name,
            "copied",
            "not-coded",
            "An ordinary DICOM file, copied unchanged.",
            job.size,
            job.size,
            "data-set",
        )
    except DataSetMalformed as error:
        if _mentions_us(job.source):
            raise
        _copy(job.source, target)
        return FileResult(
            job.name,
            "copied",
            error.code,
            "Never coded because it is malformed; copied unchanged.",
            job.size,
            job.size,
            "data-set",
        )
    return FileResult(
        job.name,
        "restored",
        "" if restored.surroundings_intact else "surroundings-changed",
        restored.explanation,
        job.size,
        target.stat().st_size,
        restored.exact,
        restored.seconds,
        {"dataset_digest": restored.digest, "file_identical": restored.file_identical},
    )


def _verify(job: FileJob, tell: Tell) -> FileResult:
    from dicomnn.coded.compare import differs
    from dicomnn.coded.restore import check

    try:
        restored = check(job.source, _shelf().get, threads=job.threads, progress=tell)
    except NotCoded:
        problem = differs(job.source, job.original, None) if job.original else ""
        if problem:
            return _failed(job, "restore-mismatch", problem)
        detail = "The file is the original." if job.original else "An ordinary DICOM file: nothing to verify."
        return FileResult(job.name, "not-coded", "not-coded", detail, job.size, job.size)
    problem = differs(job.source, job.original, restored) if job.original else ""
    if problem:
        return _failed(job, "restore-mismatch", problem)
    return FileResult(
        job.name,
        "verified",
        "" if restored.surroundings_intact else "surroundings-changed",
        restored.explanation,
        restored.manifest.bytes_before,
        job.size,
        restored.exact,
        restored.seconds,
        {
            "dataset_digest": restored.digest,
            "file_identical": restored.file_identical,
            "profile": restored.manifest.profile,
            "model_id": restored.manifest.model_id,
        },
    )


_ACTIONS: dict[str, Callable[[FileJob, Tell], FileResult]] = {
    "compress": _compress,
    "restore": _restore,
    "verify": _verify,
}


# ------------------------------------------------------------------ small parts
@cache
def _shelf() -> Shelf:
    from dicomnn.shelf import default_shelf

    return default_shelf()


@cache
def _model() -> Model | None:
    """The newest model; without any on the shelf the other contenders compete alone."""
    shelf = _shelf()
    return shelf.newest() if shelf.ids() else None


def _target(job: FileJob) -> Path:
    if job.target is None:
        raise UsageError("the job names no target")
    return job.target


def _must_be_dicom(source: Path) -> None:
    """Raises NotDicom before a folder is made for what will be skipped."""
    from dicomnn.coded.mapping import Mapping
    from dicomnn.dicom.scan import scan

    with Mapping(source) as mapping, suppress(DataSetMalformed):
        scan(mapping.buffer)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(source, "rb") as original, written_beside(target) as file:
        shutil.copyfileobj(original, file, 1 << 20)


def _mentions_us(source: Path) -> bool:
    """Whether a file that cannot be parsed was once coded: then it is damaged, not merely odd."""
    from dicomnn.coded.mapping import Mapping

    with Mapping(source) as mapping:
        tail = b""
        for chunk in mapping.chunks(0, len(mapping)):
            if b"DICOMNN" in tail + bytes(chunk):
                return True
            tail = bytes(chunk[-8:])
    return False


def _sentence(error: DicomnnError, job: FileJob) -> str:
    if error.subject == str(job.source):
        error.subject = None  # the list names the file already
    return error.sentence()


def _failed(job: FileJob, code: str, detail: str, *, after: int = 0) -> FileResult:
    return FileResult(job.name, "failed", code, detail, job.size, after)


def _died(job: FileJob, why: str) -> FileResult:
    return _failed(job, "worker-died", f"{why}. What to do: try this file alone, with --jobs 1.")
