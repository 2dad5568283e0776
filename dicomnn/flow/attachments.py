"""Bytes that another archive keeps with us, under names of its own: exactly those bytes come back.

A DICOM file in a native transfer syntax becomes an instance like one that came by C-STORE, and the workers
code it; the name only refers to it. What stands before its data set (preamble, File Meta) is kept with the
name, because the same data set may come with another one. What a coded object cannot give back exactly is
kept as it is. Beginnings of a file that is here already take no space of their own.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, TypeVar, cast

import imagecodecs

from dicomnn.archive.index import Attached, Attachment, Received
from dicomnn.archive.records import ATTACHED
from dicomnn.archive.states import State
from dicomnn.archive.store import Incoming
from dicomnn.coded.mapping import Mapping
from dicomnn.coded.restore import restore
from dicomnn.dicom.attributes import VERSION, read_attributes
from dicomnn.dicom.scan import scan
from dicomnn.dicom.syntaxes import syntax
from dicomnn.errors import (
    DicomError,
    DuplicateConflict,
    IdentifierInvalid,
    InstanceNotFound,
    NotDicom,
    ObjectMissing,
    RestoreMismatch,
    StoreFull,
)
from dicomnn.flow.ingest import Policy
from dicomnn.flow.opening import Archive
from dicomnn.flow.part10 import data_set_offset

Used = TypeVar("Used")

DICOM = 1                       # Orthanc's number for a DICOM file (OrthancPluginContentType_Dicom)
LONGEST_PREFIX = 1 << 16        # of preamble and File Meta; what has more is kept as it is
IN_MEMORY = 8 << 20             # other attachments up to this size are looked at, and compressed
_CHUNK = 1 << 20
_TRIES = 8
_UUID = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,63}")
_UID = re.compile(r"[0-9.]{1,64}")


@dataclass
class Given:
    """``size`` bytes: ``prefix``, then what ``source`` has from its present position."""

    prefix: bytes
    source: BinaryIO
    size: int

    def chunks(self) -> Iterator[bytes]:
        """All of them, a MiB at a time. Raises ObjectMissing when the object is shorter than it was."""
        left = self.size
        if self.prefix:
            yield self.prefix[:left]
            left -= len(self.prefix[:left])
        while left > 0:
            chunk = self.source.read(min(left, _CHUNK))
            if not chunk:
                raise ObjectMissing(f"the object ends {left} bytes early.")
            left -= len(chunk)
            yield chunk


class Attachments:
    """The way in and out, for any protocol. Thread-safe."""

    def __init__(self, archive: Archive, policy: Policy) -> None:
        self.archive = archive
        self.policy = policy

    # ------------------------------------------------------------------ in
    def take(self, uuid: str, kind: int, read: Callable[[int], bytes], size: int) -> str:
        """Make ``size`` bytes durable under a name; 'new', or 'same' when they are there already.

        read: at most so many next bytes, none at the end.

        Raises
        ------
        DuplicateConflict
            Other bytes have that name.
        IdentifierInvalid
            It cannot be a name, or fewer bytes came than were announced.
        StoreFull, StoreFailed, IndexFailed
            They are not durable; nothing may be acknowledged. Say the same again later.
        """
        if not _UUID.fullmatch(uuid):
            raise IdentifierInvalid(f"{uuid[:80]!r} cannot be the name of an attachment")
        free = self.archive.store.free_bytes()
        if free is not None and free < self.policy.minimum_free_bytes:
            raise StoreFull(f"only {free} bytes are free in the store", subject=uuid)
        if kind != DICOM and size <= IN_MEMORY:
            attached = self._small(uuid, kind, _exactly(read, size, uuid))
        else:
            attached = self._file(uuid, kind, read, size)
        if attached.drop is not None:
            self.archive.store.delete(attached.drop)
            self.archive.index.released([attached.drop])
        if attached.kind == "taken":
            raise DuplicateConflict("other bytes are stored under this name.", subject=f"attachment {uuid}")
        return attached.kind

    def _file(self, uuid: str, kind: int, read: Callable[[int], bytes], size: int) -> Attached:
        with self.archive.store.create() as incoming:
            begin = _exactly(read, min(size, LONGEST_PREFIX + 144), uuid)
            start = _prefix_length(begin) if kind == DICOM else None
            hasher = hashlib.sha256(begin[start or 0:])
            incoming.write(begin)
            while incoming.size < size:
                chunk = _exactly(read, min(size - incoming.size, _CHUNK), uuid)
                incoming.write(chunk)
                if start is not None:
                    hasher.update(chunk)
            received = None
            if start is not None:
                received = self._instance(incoming, start, hasher.hexdigest())
            name, sha256 = incoming.commit(), incoming.sha256
        if received is None:
            return self.archive.index.attach(Attachment(
                uuid, kind, "object", size, sha256, object_name=name, object_size=size))
        received = replace(received, object_name=name, object_sha256=sha256)
        return self.archive.index.attach(
            Attachment(uuid, kind, "file", size, sha256, received.sop_instance_uid, received.digest,
                       begin[:start]), received)

    def _instance(self, incoming: Incoming, start: int, digest: str) -> Received | None:
        """What the index is told of a file that can be given back from its data set; None: it cannot."""
        path = incoming.path
        if path is None:
            return None
        try:
            with Mapping(path) as mapping:
                layout = scan(mapping.buffer)
                attributes = read_attributes(mapping.buffer, layout).known()
        except DicomError:
            return None
        uid = str(attributes.get("sop_instance_uid") or "")
        if layout.dataset_start != start or layout.broken or layout.guessed or not _UID.fullmatch(uid):
            return None
        asked = next((rule.profile for rule in self.policy.rules if rule.matches("", attributes)),
                     self.policy.profile)
        # Only a native data set comes back byte for byte from a coded object.
        keep = asked == "keep" or not syntax(layout.transfer_syntax).native
        return Received(
            sop_instance_uid=uid, digest=digest, object_name="", object_sha256="", object_size=incoming.size,
            sop_class_uid=str(attributes.get("sop_class_uid") or ""),
            study_instance_uid=str(attributes.get("study_instance_uid") or ""),
            series_instance_uid=str(attributes.get("series_instance_uid") or ""),
            transfer_syntax_uid=layout.transfer_syntax, attributes=attributes, described=VERSION,
            facts={"dataset_bytes": incoming.size - start}, profile="keep" if keep else "lossless",
            kept_reason="profile-keep" if keep else None, source=ATTACHED)

    def _small(self, uuid: str, kind: int, body: bytes) -> Attached:
        sha256 = hashlib.sha256(body).hexdigest()
        whole = self._whole_of(body)
        if whole is not None:
            attached = self.archive.index.attach(Attachment(
                uuid, kind, "head", len(body), sha256, whole.received_uid, whole.digest, whole.prefix))
            if attached.kind != "gone":
                return attached
        packed = bytes(imagecodecs.zstd_encode(body, level=3)) if body else b""
        encoding, stored = ("zstd", packed) if len(packed) < len(body) else ("", body)
        with self.archive.store.create() as incoming:
            incoming.write(stored)
            name = incoming.commit()
        return self.archive.index.attach(Attachment(
            uuid, kind, "object", len(body), sha256, object_name=name, object_size=len(stored),
            encoding=encoding))

    def _whole_of(self, body: bytes) -> Attachment | None:
        """The file whose beginning this is, up to an element before its Pixel Data."""
        if _prefix_length(body) is None:
            return None
        try:
            layout = scan(body)
        except DicomError:
            return None
        uid = layout.sop_instance_uid
        if uid is None or layout.broken or layout.pixel_data or layout.trailing_start != len(body):
            return None
        for candidate in self.archive.index.attachments_of(uid):
            if candidate.prefix is not None and body.startswith(candidate.prefix):
                with contextlib.suppress(ObjectMissing, NotDicom, InstanceNotFound):
                    if self._beginning(candidate, len(body)) == body:
                        return candidate
        return None

    # ------------------------------------------------------------------ out
    @contextlib.contextmanager
    def give(self, uuid: str) -> Iterator[Given]:
        """The bytes of a name. What was coded is restored and its digest checked before the first one leaves.

        Raises
        ------
        InstanceNotFound
            There is no such name.
        ObjectMissing, RestoreMismatch, PayloadError, UnknownModel
            The archive is damaged here; see ``dicomnn fsck``.
        """
        attachment = self.archive.index.attachment(uuid)
        if attachment is None:
            raise InstanceNotFound("no attachment has this name.", subject=uuid)
        if attachment.form == "head":
            begin = self._beginning(attachment, attachment.size)
            if hashlib.sha256(begin).hexdigest() == attachment.sha256:
                yield Given(b"", io.BytesIO(begin), attachment.size)
                return
        if attachment.object_name is not None:
            source = self._own(attachment, attachment.object_name)
        else:
            source = self._data_set(attachment)
        with source:
            yield Given(attachment.prefix or b"", source, attachment.size)

    def _own(self, attachment: Attachment, name: str) -> BinaryIO:
        source = self.archive.store.open(name)
        if not attachment.encoding:
            return source
        body = b""
        with source, contextlib.suppress(RuntimeError):
            body = bytes(imagecodecs.zstd_decode(source.read(), out=attachment.size))
        if hashlib.sha256(body).hexdigest() != attachment.sha256:
            raise RestoreMismatch("the attachment is damaged.", subject=attachment.uuid)
        return io.BytesIO(body)

    def _data_set(self, attachment: Attachment) -> BinaryIO:
        """The whole data set that an attachment refers to."""
        def opened(name: str, coded: bool) -> BinaryIO:
            return self._restored(attachment, name) if coded else self._plain(name)

        return self._reach(attachment, opened)

    def _plain(self, name: str) -> BinaryIO:
        source = self.archive.store.open(name)
        data_set_offset(source)
        return source

    def _restored(self, attachment: Attachment, name: str) -> BinaryIO:
        # A file of the store's own: /tmp may be small, or memory.
        scratch = self.archive.store.scratch
        spool = cast(BinaryIO, tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, dir=str(scratch)))
        try:
            with self.archive.store.pin(name) as path:
                restored = restore(path, spool, self.archive.model, form="data-set", strict=True,
                                   spool_folder=scratch)
            if restored.digest != attachment.digest:
                raise RestoreMismatch("the restored data set is not the one that came",
                                      subject=attachment.uuid)
        except BaseException:
            spool.close()
            raise
        spool.seek(0)
        return spool

    def _beginning(self, attachment: Attachment, size: int) -> bytes:
        """The first ``size`` bytes; true if they end before Pixel Data, because those are in every object."""
        prefix = attachment.prefix or b""

        def read(name: str, coded: bool) -> bytes:
            with self._plain(name) as source:
                return prefix[:size] + source.read(max(0, size - len(prefix)))

        return self._reach(attachment, read)

    def _reach(self, attachment: Attachment, use: Callable[[str, bool], Used]) -> Used:
        """Use the object that has the data set (its name; whether it is coded). One that was swapped and is
        gone is looked for again."""
        uid, index = attachment.received_uid or "", self.archive.index
        for _ in range(_TRIES):
            try:
                instance = index.get(uid)
            except InstanceNotFound:
                break
            if instance.digest == attachment.digest and instance.state is not State.DELETED:
                name, coded = instance.object_name, instance.state.is_coded
            else:
                beside = [record for record in index.conflicts(sop_instance=uid)
                          if record.digest == attachment.digest]
                if not beside:
                    continue               # it may have taken the place of another one just now
                name, coded = beside[0].object_name, beside[0].coded
            with contextlib.suppress(ObjectMissing):
                return use(name, coded)
        raise ObjectMissing("the data set that it refers to is not in the archive.",
                            subject=f"attachment {attachment.uuid}")

    # ------------------------------------------------------------------ the end
    def remove(self, uuid: str) -> bool:
        """Forget a name; what nothing else refers to is deleted. False: there was none."""
        return self.archive.index.detach(uuid)


def _exactly(read: Callable[[int], bytes], size: int, uuid: str) -> bytes:
    pieces, left = [], size
    while left:
        piece = read(left)
        if not piece:
            raise IdentifierInvalid(f"{left} bytes fewer came than were announced", subject=uuid)
        pieces.append(piece)
        left -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _prefix_length(begin: bytes) -> int | None:
    """Bytes before the data set of a Part 10 file; None where the File Meta is very long or does not tell."""
    try:
        start = data_set_offset(io.BytesIO(begin))
    except NotDicom:
        return None
    return start if start <= min(len(begin), LONGEST_PREFIX) else None
