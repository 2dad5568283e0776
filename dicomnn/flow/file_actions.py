"""What is done with one file: compress, recode, restore, verify. A target appears whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from dicomnn.coded.spool import path_beside, written_beside
from dicomnn.errors import DataSetMalformed, DicomnnError, NotCoded, NotDicom, UsageError
from dicomnn.flow.files import FileJob, FileResult, failed, sentence
from dicomnn.flow.lossy import lossy_rule
from dicomnn.flow.pool import Tell

if TYPE_CHECKING:
    from dicomnn.codec.model import Model
    from dicomnn.coded.sealed import Sealed
    from dicomnn.shelf import Shelf


def _compress(job: FileJob, tell: Tell) -> FileResult:
    from dicomnn.codec.profile import Profile
    from dicomnn.coded.seal import seal

    target = _target(job)
    shelf, profile = _shelf(), Profile.parse(job.profile)
    _must_be_dicom(job.source)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path_beside(target) as temporary:
            sealed = seal(
                job.source,
                temporary,
                profile=profile,
                model=_model(),
                models=shelf.get,
                effort=job.effort,
                threads=job.threads,
                progress=tell,
                lossy=lossy_rule(shelf, profile, caps=job.caps, asked_by="the command line"),
            )
            if sealed.kind == "kept":
                shutil.copyfile(job.source, temporary)
    except (NotDicom, UsageError, OSError):
        raise
    except Exception as error:
        _copy(job.source, target)
        code, text = (
            (error.code, sentence(error, job))
            if isinstance(error, DicomnnError)
            else ("internal", f"{type(error).__name__}: {error}. What to do: please report this case.")
        )
        return failed(job, code, f"{text} The original was copied unchanged.", after=job.size)
    return _sealed(job, sealed, coded="coded")


def _sealed(job: FileJob, sealed: Sealed, *, coded: str) -> FileResult:
    """The line of a file that was sealed; ``coded`` is the verb for one that shrank."""
    shrank = sealed.kind == "coded"
    return FileResult(
        job.name,
        coded if shrank else sealed.kind,
        sealed.reason or "",
        sealed.detail or sealed.note,
        job.size,
        sealed.bytes_after if shrank else job.size,
        sealed.manifest.exact if sealed.manifest else "",
        sealed.seconds,
        sealed.facts(),
    )


def _recode(job: FileJob, tell: Tell) -> FileResult:
    from dicomnn.archive import Tried
    from dicomnn.coded.reseal import reseal
    from dicomnn.coded.stored import StoredObject
    from dicomnn.flow.lift import higher, lift_to

    target = _target(job)
    try:
        with StoredObject(job.source) as stored:
            tried = Tried(stored.manifest.effort, stored.manifest.model_id)
    except (NotCoded, DataSetMalformed) as error:
        return _copied(job, target, error)
    if not lift_to(_shelf(), job.effort, model=job.model).means(tried):
        _copy(job.source, target)
        detail = "It was coded with as much effort and the newest model."
        return FileResult(job.name, "kept", "no-need", detail, job.size, job.size)
    target.parent.mkdir(parents=True, exist_ok=True)
    with path_beside(target) as temporary:
        sealed = reseal(
            job.source,
            temporary,
            model=_model(),
            models=_shelf().get,
            effort=higher(job.effort, tried.effort),
            threads=job.threads,
            progress=tell,
        )
        if sealed.kind == "kept":
            shutil.copyfile(job.source, temporary)
    return _sealed(job, sealed, coded="recoded")


def _restore(job: FileJob, tell: Tell) -> FileResult:
    from dicomnn.coded.restore import restore

    target = _target(job)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        restored = restore(job.source, target, _shelf().get, threads=job.threads, progress=tell)
    except (NotCoded, DataSetMalformed) as error:
        return _copied(job, target, error)
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
            return failed(job, "restore-mismatch", problem)
        detail = "The file is the original." if job.original else "An ordinary DICOM file: nothing to verify."
        return FileResult(job.name, "not-coded", "not-coded", detail, job.size, job.size)
    problem = differs(job.source, job.original, restored) if job.original else ""
    if problem:
        return failed(job, "restore-mismatch", problem)
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


ACTIONS: dict[str, Callable[[FileJob, Tell], FileResult]] = {
    "compress": _compress,
    "recode": _recode,
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


def _copied(job: FileJob, target: Path, error: DicomnnError) -> FileResult:
    """What is no coded object is copied unchanged; raises `error` for one that was coded once."""
    if isinstance(error, NotCoded):
        detail = "An ordinary DICOM file, copied unchanged."
    elif _mentions_us(job.source):
        raise error
    else:
        detail = "Never coded because it is malformed; copied unchanged."
    _copy(job.source, target)
    return FileResult(job.name, "copied", error.code, detail, job.size, job.size, "data-set")


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
