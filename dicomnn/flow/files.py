"""Files and folders: compress, recode, restore, verify. A tree goes in, the same tree comes out.

Every file is one job for a worker process; a bad one is reported and the walk goes on. An output tree is
complete: objects that are not coded are copied unchanged. Nothing that exists is overwritten unasked, and
every file appears under its name only when it is whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dicomnn.dicom.caps import STRICTEST
from dicomnn.errors import DicomnnError, NotDicom, UsageError
from dicomnn.flow.pool import Tell, run_jobs

STATUSES = ("coded", "recoded", "kept", "restored", "copied", "verified", "not-coded", "skipped", "failed")


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
    model: str = "newest"
    caps: str = STRICTEST
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
    model: str = "newest",
    caps: str = STRICTEST,
    jobs: int = 1,
    overwrite: bool = False,
) -> list[FileJob]:
    """The jobs for a file or a folder.

    `action` is 'compress', 'recode', 'restore' (`out` is where to, see ``default_target``) or 'verify' (`out`
    is the original, a file or the tree that mirrors `source`, or None). `model` is for 'recode', see
    ``lift.lift_to``; `caps` for lossy profiles, see ``dicom/caps.py``. Raises UsageError when `source` is not
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
                model=model,
                caps=caps,
                threads=threads,
                overwrite=overwrite,
            )
        )
    return planned


def default_target(action: str, source: Path) -> Path:
    """`scan.dcm` -> `scan.coded.dcm`, `scan.recoded.dcm` or `scan.restored.dcm`; folder `study` ->
    `study-coded` ...
    """
    word = {"compress": "coded", "recode": "recoded"}.get(action, "restored")
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
            return failed(
                job,
                "exists",
                f"{job.target} exists already. What to do: name another target, or allow overwriting.",
            )
        from dicomnn.flow.file_actions import ACTIONS

        return ACTIONS[job.action](job, tell)
    except NotDicom as error:
        return FileResult(job.name, "skipped", error.code, sentence(error, job), bytes_before=job.size)
    except DicomnnError as error:
        return failed(job, error.code, sentence(error, job))
    except OSError as error:
        return failed(
            job, "os", f"{error.strerror or error}. What to do: check the disk and the permissions."
        )
    except MemoryError:
        return failed(job, "memory", "Not enough memory. What to do: use fewer jobs at a time.")
    except Exception as error:  # a fault of ours must not end the walk over the other files
        return failed(
            job, "internal", f"{type(error).__name__}: {error}. What to do: please report this case."
        )


# ------------------------------------------------------------------ small parts
def sentence(error: DicomnnError, job: FileJob) -> str:
    if error.subject == str(job.source):
        error.subject = None  # the list names the file already
    return error.sentence()


def failed(job: FileJob, code: str, detail: str, *, after: int = 0) -> FileResult:
    return FileResult(job.name, "failed", code, detail, job.size, after)


def _died(job: FileJob, why: str) -> FileResult:
    return failed(job, "worker-died", f"{why}. What to do: try this file alone, with --jobs 1.")
