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
from dicomnn.dicom.secondary_capture import Person, PictureRefused, Place, kind_of, wrap
from dicomnn.errors import DicomnnError, InstanceNotFound, UsageError
from dicomnn.flow.arriving import Directory, take_file
from dicomnn.flow.ingest import Command, Ingest, Outcome
from dicomnn.flow.unpacking import ZipLimits, ZipReader, ZipRefused, is_zip

CHUNK = 1 << 20
HEAD = 132
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
        Profile.parse(profile)
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
        count = {word: sum(item.outcome == word for item in items) for word in ("arrived", "same", "failed")}
        self._kept.add_to_upload(upload_id, **count, size=sum(item.bytes for item in items),
                                 studies=[item.study for item in items if item.study])
        return items


class _Walk:
    """The files of one request."""

    def __init__(self, ingest: Ingest, limits: ZipLimits, upload: Upload) -> None:
        policy = replace(ingest.policy, profile=upload.profile, rules=())
        self._ingest, self._limits, self._upload = Ingest(ingest.archive, policy), limits, upload
        self._who = Command("", "", "", peer_address=upload.address, source=f"web:{upload.who}")
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
                yield self._guarded(inside, lambda entry=entry: reader.pieces(entry),  # type: ignore[misc]
                                    inner=True)

    def _guarded(self, name: str, given: Callable[[], Iterator[bytes]], *, inner: bool) -> Item:
        try:
            head, pieces = _peek(given())
        except DicomnnError as error:
            return Item(name, "failed", error.sentence())
        if inner and is_zip(head):
            return Item(name, "skipped", "A ZIP within a ZIP is not opened. What to do: unpack it and upload "
                        "the files.")
        return self._one(name, head, pieces)

    def _one(self, name: str, head: bytes, pieces: Iterator[bytes]) -> Item:
        try:
            if kind_of(head):
                pieces = iter([self._picture(pieces)])
            outcome, size = take_file(self._ingest, pieces, self._who)
        except Directory as error:
            return Item(name, "skipped", error.sentence())
        except DicomnnError as error:
            return Item(name, "failed", _told(error))
        return _item(name, outcome, size)

    def _picture(self, pieces: Iterator[bytes]) -> bytes:
        data = bytearray()
        for piece in pieces:
            data += piece
            if len(data) > MOST_PICTURE_BYTES:
                raise PictureRefused(f"it has more than {MOST_PICTURE_BYTES} bytes",
                                     cure="Cut it into smaller pictures.")
        self._number += 1
        # The same picture again in the same upload (a request that was repeated) is the same object again.
        same = uuid.uuid5(uuid.NAMESPACE_OID, f"{self._upload.id}:{hash_of(data)}")
        place = Place(self._upload.facts["study"], self._upload.facts["series"], f"2.25.{same.int}", self._number)
        return wrap(bytes(data), self._person, place, now=datetime.fromtimestamp(self._upload.started_at))


def hash_of(data: bytes | bytearray) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def _item(name: str, outcome: Outcome, size: int) -> Item:
    word, message = _WORDS.get(outcome.kind, "failed"), ""
    if outcome.kind == "same":
        message = "It is here already, with the same bytes: nothing was stored twice."
    elif outcome.kind == "conflict":
        message = ("Its UID is taken by another object with other bytes. The first one stays; this one was put "
                   "aside as evidence.")
    elif outcome.note:
        message = f"Kept as it is: {REASONS.get(outcome.note, outcome.note)}"
    return Item(name, word, message, outcome.study_instance_uid, outcome.sop_instance_uid, size)


def _told(error: DicomnnError) -> str:
    """A file has no name that would help but the one beside the sentence."""
    error.subject = None
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
