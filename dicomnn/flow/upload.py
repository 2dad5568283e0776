"""What somebody uploads from a page: DICOM files, ZIPs of them, and pictures, each judged by itself.

Everything goes in through `Ingest`, as what a scanner sends does. A bad file is an answer, not an error: the
others of the same upload are kept.
"""

from __future__ import annotations

import itertools
import secrets
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, BinaryIO, cast

from dicomnn.archive.accounts import Upload
from dicomnn.codec.profile import Profile
from dicomnn.dicom.eligibility import REASONS
from dicomnn.dicom.scan import scan
from dicomnn.dicom.secondary_capture import Person, PictureRefused, Place, kind_of, wrap
from dicomnn.errors import DataSetMalformed, DicomnnError, InstanceNotFound, NotDicom, UsageError
from dicomnn.flow.file_in import FileIn, Sender
from dicomnn.flow.ingest import Ingest, Outcome
from dicomnn.flow.lossy import UPLOADED
from dicomnn.flow.unpacking import ZipLimits, ZipReader, ZipRefused, is_zip

HEAD = 256 << 10  # bytes in which a file says what it is
_DIRECTORY = b"1.2.840.10008.1.3.10"
_STUDY, _PIXELS = 0x0020000D, 0x7FE00010
MOST_PICTURE_BYTES = 512 << 20
_IN_MEMORY = 4 << 20
_WORDS = {"new": "arrived", "replaced": "arrived", "same": "same"}


@dataclass(frozen=True)
class Item:
    """What became of one file. outcome: 'arrived', 'same' (was here already), 'skipped' or 'failed'; message:
    a sentence for people, '' where all is as it should be."""

    name: str
    outcome: str
    message: str = ""
    study: str = ""
    instance: str = ""
    bytes: int = 0


class Desk:
    """Takes uploads in. Thread-safe."""

    def __init__(self, ingest: Ingest, limits: ZipLimits | None = None) -> None:
        self._ingest, self._limits = ingest, limits or ZipLimits()
        self._kept = ingest.archive.index.accounts

    def begin(self, who: str, address: str, profile: str, person: Person) -> Upload:
        """An upload, to which files are then given. Raises UsageError for a profile that is none."""
        profile = str(Profile.parse(profile))
        now = time.time()
        facts = {"person": asdict(person), "study": _uid(), "series": _uid()}
        upload = Upload(secrets.token_urlsafe(12), who, address, profile, now, now, facts=facts)
        self._kept.begin_upload(upload)
        return upload

    def get(self, upload_id: str) -> Upload:
        """Raises InstanceNotFound."""
        upload = self._kept.upload(upload_id)
        if upload is None:
            raise InstanceNotFound("there is no such upload", cure="Begin a new one.")
        return upload

    def take(self, upload_id: str, name: str, pieces: Iterable[bytes]) -> list[Item]:
        """One file, or a ZIP of files, of an upload. Raises InstanceNotFound, and nothing for bad content."""
        upload = self.get(upload_id)
        walk = _Walk(self._ingest, self._limits, upload)
        items = list(walk.file(name, iter(pieces)))
        arrived, same, failed = (
            sum(item.outcome == word for item in items) for word in ("arrived", "same", "failed")
        )
        self._kept.add_to_upload(
            upload_id,
            arrived=arrived,
            same=same,
            failed=failed,
            size=sum(item.bytes for item in items),
            studies=[item.study for item in items if item.study],
        )
        return items


class _Walk:
    """The files of one request."""

    def __init__(self, ingest: Ingest, limits: ZipLimits, upload: Upload) -> None:
        policy = replace(ingest.policy, profile=upload.profile, rules=())
        self._ingest, self._limits, self._upload = Ingest(ingest.archive, policy), limits, upload
        self._sender = Sender(f"{UPLOADED}{upload.who}", peer_address=upload.address)
        self._person = _person(upload.facts)
        self._number = upload.arrived + upload.same

    def file(self, name: str, pieces: Iterator[bytes]) -> Iterator[Item]:
        head, pieces = _peek(pieces)
        if is_zip(head):
            try:
                yield from self._zip(name, pieces)
            except DicomnnError as error:
                yield Item(name, "failed", error.sentence())
            return
        yield self._one(name, head, pieces)

    def _zip(self, name: str, pieces: Iterator[bytes]) -> Iterator[Item]:
        scratch = str(self._ingest.archive.store.scratch)
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, dir=scratch) as spool:
            for piece in pieces:
                spool.write(piece)
            reader = ZipReader(cast(BinaryIO, spool), self._limits)
            if not reader.entries:
                raise ZipRefused("the ZIP holds no files", cure="Check what was packed.")
            for entry in reader.entries:
                inside = f"{name}: {reader.name(entry)}"
                yield self._guarded(
                    inside,
                    lambda entry=entry: reader.pieces(entry),  # type: ignore[misc]
                    inner=True,
                )

    def _guarded(self, name: str, given: Callable[[], Iterator[bytes]], *, inner: bool) -> Item:
        try:
            head, pieces = _peek(given())
        except DicomnnError as error:
            return Item(name, "failed", error.sentence())
        if inner and is_zip(head):
            return Item(
                name,
                "skipped",
                "A ZIP within a ZIP is not opened. What to do: unpack it and upload the files.",
            )
        return self._one(name, head, pieces)

    def _one(self, name: str, head: bytes, pieces: Iterator[bytes]) -> Item:
        try:
            if kind_of(head):
                head = self._picture(pieces)
                pieces = iter([head])
            elif head[128:132] == b"DICM" and _DIRECTORY in head[:1024]:
                return Item(
                    name,
                    "skipped",
                    "A DICOMDIR is a table of contents; the files that it lists are what is stored.",
                )
            else:
                _require_study(head)
            return self._stored(name, pieces)
        except DicomnnError as error:
            return Item(name, "failed", _told(error))

    def _stored(self, name: str, pieces: Iterator[bytes]) -> Item:
        file, size = FileIn(self._ingest, self._sender), 0
        try:
            for piece in pieces:
                file.write(piece)
                size += len(piece)
            return _item(name, file.finish(), size)
        finally:
            file.abort()

    def _picture(self, pieces: Iterator[bytes]) -> bytes:
        data = bytearray()
        for piece in pieces:
            data += piece
            if len(data) > MOST_PICTURE_BYTES:
                raise PictureRefused(
                    f"it has more than {MOST_PICTURE_BYTES} bytes", cure="Cut it into smaller pictures."
                )
        self._number += 1
        # The same picture again in the same upload (a request that was repeated) is the same object again.
        same = uuid.uuid5(uuid.NAMESPACE_OID, f"{self._upload.id}:{hash_of(data)}")
        place = Place(
            self._upload.facts["study"], self._upload.facts["series"], f"2.25.{same.int}", self._number
        )
        return wrap(bytes(data), self._person, place, now=datetime.fromtimestamp(self._upload.started_at))


def _require_study(head: bytes) -> None:
    """What names no study would be stored where no page shows it. Raises NotDicom, DataSetMalformed."""
    layout = scan(head)
    if layout.find(_STUDY) is None and (len(head) < HEAD or layout.find(_PIXELS) is not None):
        why = f": {layout.broken.why}" if layout.broken is not None else ""
        raise DataSetMalformed(
            f"the file is damaged, or names no study{why}",
            cure="Ask the sender for an intact file; it was not stored.",
        )


def hash_of(data: bytes | bytearray) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def _item(name: str, outcome: Outcome, size: int) -> Item:
    word, message = _WORDS.get(outcome.kind, "failed"), ""
    if outcome.kind == "same":
        message = "It is here already, with the same bytes: nothing was stored twice."
    elif outcome.kind == "conflict":
        message = (
            "Its UID is taken by another object with other bytes. The first one stays; this one was put "
            "aside as evidence."
        )
    elif outcome.note:
        message = f"Kept as it is: {REASONS.get(outcome.note, outcome.note)}"
    return Item(name, word, message, outcome.study_instance_uid, outcome.sop_instance_uid, size)


def _told(error: DicomnnError) -> str:
    """A file has no name that would help but the one beside the sentence."""
    error.subject = None
    if isinstance(error, NotDicom):
        return "It is neither DICOM nor a picture. What to do: upload DICOM, PNG, JPEG or TIFF."
    sentence = error.sentence()
    return sentence[:1].upper() + sentence[1:]


def _peek(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= HEAD:
            break
    return head, itertools.chain([head] if head else [], pieces)


def _person(facts: Mapping[str, Any]) -> Person:
    return Person(**facts["person"])


def _uid() -> str:
    return f"2.25.{uuid.uuid4().int}"


__all__ = ["Desk", "Item", "Person", "UsageError", "ZipLimits"]
