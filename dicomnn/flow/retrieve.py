"""Walk 2: from a query's keys to the exact bytes of each data set, in every state of an instance.

The index names an object; between reading that name and opening the object a worker may have swapped
it. Then the object is gone, the index is asked again, and the walk goes on with the new one.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from dicomnn.archive.index import Instance
from dicomnn.archive.records import Located
from dicomnn.coded.egress import offered, write_as
from dicomnn.coded.restore import restore
from dicomnn.coded.transcode import NotCompressible, compress_as
from dicomnn.conditions import OneOf
from dicomnn.dicom.syntaxes import COMPRESSIONS, EXPLICIT_LITTLE, syntax
from dicomnn.errors import IdentifierInvalid, NotCoded, ObjectMissing, PeerError, RestoreMismatch
from dicomnn.flow.opening import Archive
from dicomnn.flow.part10 import data_set_offset, file_prefix

LEVELS = ("PATIENT", "STUDY", "SERIES", "IMAGE")
LIST = 1000                 # values of one statement
IN_MEMORY = 16 << 20        # restored data sets up to this size never touch the disk


@dataclass(frozen=True)
class Query:
    """Unique keys of a retrieve request; several values mean any of them, none means all."""

    level: str
    patient_ids: tuple[str, ...] = ()
    study_uids: tuple[str, ...] = ()
    series_uids: tuple[str, ...] = ()
    instance_uids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Match:
    """One instance to be sent; small, because there may be a million of them.

    received: the transfer syntax in which it came and can leave again; empty where restoring gives another
    one, and that cannot be compressed into it.
    """

    sop_instance_uid: str
    sop_class_uid: str
    received: str = ""


class NoCommonSyntax(PeerError):
    """The peer accepted no transfer syntax in which this instance can be given."""

    code = "peer"
    cure = "Let the peer accept Explicit or Implicit VR Little Endian for this class, or the syntax received."


@dataclass
class Outgoing:
    """A data set ready to be sent: ``size`` bytes from the present position of ``source``. ``prefix``:
    preamble and File Meta that make it a Part 10 file, those that it came with where it leaves as it came."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    source: BinaryIO
    size: int
    prefix: bytes

    def close(self) -> None:
        self.source.close()

    def __enter__(self) -> Outgoing:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Retrieval:
    """The way out, for any protocol. Thread-safe."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive

    # ------------------------------------------------------------------ what is asked for
    def matches(self, query: Query) -> list[Match]:
        """The instances that match, in order of arrival.

        Raises
        ------
        IdentifierInvalid
            No such level, or no key for it.
        IndexFailed
            The index cannot be read.
        """
        found: dict[str, Match] = {}
        for located in self._candidates(query):
            found.setdefault(located.sop_instance_uid, _match(located))
        for uid in query.instance_uids:
            if uid not in found:
                # What a lossy profile gave a new UID is still found by the one that it came with.
                for instance in self.archive.index.instances(sop_instance=uid):
                    if _agrees(query, instance):
                        found.setdefault(instance.sop_instance_uid, self.match(instance))
        return list(found.values())

    def _candidates(self, query: Query) -> Iterator[Located]:
        if query.level not in LEVELS:
            raise IdentifierInvalid(f"'{query.level}' is no level")
        keys = {"patient_id": query.patient_ids, "study_instance_uid": query.study_uids,
                "series_instance_uid": query.series_uids, "sop_instance_uid": query.instance_uids}
        given = [OneOf(name, values) for name, values in keys.items() if values]
        if not given:
            raise IdentifierInvalid(f"a {query.level} request without a unique key")
        *around, narrowest = given             # one short list a statement; the others hold for all of them
        for start in range(0, len(narrowest.values), LIST):
            some = narrowest.values[start:start + LIST]
            yield from self.archive.index.locate([*around, OneOf(narrowest.attribute, some)])

    def fits(self, match: Match, accepted: tuple[str, ...] | None) -> bool:
        """Whether it may leave in one of these syntaxes; that it cannot may still turn out."""
        present = match.received or EXPLICIT_LITTLE
        if accepted is None or any(uid in accepted for uid in offered(present)):
            return True
        return syntax(present).native and any(uid in accepted for uid in COMPRESSIONS.values())

    @staticmethod
    def match(instance: Instance) -> Match:
        """One instance that is known already."""
        return _match(Located(instance.sop_instance_uid, instance.sop_class_uid, instance.transfer_syntax_uid,
                              instance.state.is_coded))

    # ------------------------------------------------------------------ what is given
    def prepare(self, match: Match, accepted: tuple[str, ...] | None,
                compress: tuple[str, ...] = ()) -> Outgoing:
        """The data set of one instance in one of the ``accepted`` syntaxes (None: as received).

        As received when the peer takes that; else by coded/egress. ``compress``: syntaxes of
        coded/transcode that are preferred for images which would leave uncompressed. Digests were checked
        before this returns, so the first byte that leaves is known to be right.

        Raises
        ------
        NoCommonSyntax
            The peer takes none in which it can be given.
        InstanceNotFound, ObjectMissing
            It was deleted meanwhile, or the store lost it.
        CodecError, CodedObjectError
            The object is damaged.
        """
        if accepted is not None and not accepted:
            raise NoCommonSyntax("the peer accepted no presentation context for this class",
                                 subject=match.sop_instance_uid)
        instance = self.archive.index.get(match.sop_instance_uid)
        wanted = next((uid for uid in compress if accepted is not None and uid in accepted), None)
        if wanted is not None and (instance.state.is_coded
                                   or syntax(instance.transfer_syntax_uid).native):
            with contextlib.suppress(NotCompressible):
                return self._compressed(match, wanted)
        plain = accepted is None or instance.transfer_syntax_uid in accepted
        if plain and not instance.state.is_coded:
            instance, source = self.archive.open_current(match.sop_instance_uid)
            if not instance.state.is_coded:
                return self._outgoing(instance, instance.transfer_syntax_uid, *_as_received(source))
            source.close()      # it was swapped just now
        with self.archive.pin_current(match.sop_instance_uid) as (instance, path):
            if not instance.state.is_coded:
                return self._converted(instance, path, instance.transfer_syntax_uid, accepted)
            # Which syntax restoring gives is only known from the object, so the peer's wish comes second.
            outgoing = self._restored(instance, path)
            if accepted is None or outgoing.transfer_syntax_uid in accepted:
                return outgoing
            with outgoing, self._as_file(instance, outgoing) as file:
                return self._converted(instance, file, outgoing.transfer_syntax_uid, accepted)

    def _compressed(self, match: Match, wanted: str) -> Outgoing:
        with self.archive.pin_current(match.sop_instance_uid) as (instance, path):
            if not instance.state.is_coded:
                return self._written(instance, wanted, lambda spool: compress_as(path, spool, wanted))
            with self._restored(instance, path) as outgoing, self._as_file(instance, outgoing) as file:
                return self._written(instance, wanted, lambda spool: compress_as(file, spool, wanted))

    @contextlib.contextmanager
    def _as_file(self, instance: Instance, outgoing: Outgoing) -> Iterator[Path]:
        """A Part 10 file of a restored data set, for as long as the block runs."""
        with tempfile.NamedTemporaryFile(dir=self.archive.store.scratch) as file:
            file.write(file_prefix(instance.sop_class_uid, instance.sop_instance_uid,
                                   outgoing.transfer_syntax_uid))
            shutil.copyfileobj(outgoing.source, file, 1 << 20)
            file.flush()
            yield Path(file.name)

    def _outgoing(self, instance: Instance, syntax: str, source: BinaryIO, size: int,
                  prefix: bytes = b"") -> Outgoing:
        prefix = prefix or file_prefix(instance.sop_class_uid, instance.sop_instance_uid, syntax)
        return Outgoing(instance.sop_class_uid, instance.sop_instance_uid, syntax, source, size, prefix)

    def _restored(self, instance: Instance, path: Path) -> Outgoing:
        spool = self._spool(instance.before)
        try:
            restored = restore(path, spool, self.archive.model, form="data-set", strict=True,
                               spool_folder=self.archive.store.scratch)
            if restored.exact == "data-set" and restored.digest != instance.digest:
                raise RestoreMismatch("the restored data set is not the one that was received",
                                      subject=instance.sop_instance_uid)
        except NotCoded as error:
            spool.close()
            raise ObjectMissing("the index names a coded object, the store has another one",
                                subject=instance.sop_instance_uid) from error
        except BaseException:
            spool.close()
            raise
        size = spool.tell()
        spool.seek(0)
        with open(path, "rb") as file:      # its File Meta says what comes back
            prefix = _prefix(file)
        return self._outgoing(instance, restored.transfer_syntax, spool, size, prefix)

    def _converted(self, instance: Instance, path: Path, present: str,
                   accepted: tuple[str, ...] | None) -> Outgoing:
        wanted = next((s for s in offered(present) if accepted is None or s in accepted), None)
        if wanted is None and syntax(present).native:
            # A peer that takes nothing but a compression that we can write.
            packed = next((uid for uid in COMPRESSIONS.values() if uid in (accepted or ())), None)
            if packed is not None:
                with contextlib.suppress(NotCompressible):
                    return self._written(instance, packed, lambda spool: compress_as(path, spool, packed))
        if wanted is None:
            raise NoCommonSyntax(f"the peer takes none of {', '.join(offered(present))} for this class",
                                 subject=instance.sop_instance_uid)
        return self._written(instance, wanted, lambda spool: write_as(path, spool, wanted))

    def _written(self, instance: Instance, syntax_uid: str, write: Callable[[BinaryIO], None]) -> Outgoing:
        spool = self._spool(0)
        try:
            write(spool)
        except BaseException:
            spool.close()
            raise
        size = spool.tell()
        spool.seek(0)
        return self._outgoing(instance, syntax_uid, spool, size)

    def _spool(self, expected: int) -> BinaryIO:
        # A file of the store's own: /tmp may be small, or memory.
        spool = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, dir=str(self.archive.store.scratch))
        if expected > IN_MEMORY:
            spool.rollover()
        return cast(BinaryIO, spool)


def _as_received(source: BinaryIO) -> tuple[BinaryIO, int, bytes]:
    try:
        prefix = _prefix(source)
        size = source.seek(0, 2) - len(prefix)
        source.seek(len(prefix))
    except BaseException:
        source.close()
        raise
    return source, size, prefix


def _prefix(file: BinaryIO) -> bytes:
    offset = data_set_offset(file)
    file.seek(0)
    return file.read(offset)


def _match(located: Located) -> Match:
    received = located.transfer_syntax_uid
    whole = not located.coded or syntax(received).native or received in COMPRESSIONS.values()
    return Match(located.sop_instance_uid, located.sop_class_uid,
                 received if whole else "")


def _agrees(query: Query, instance: Instance) -> bool:
    return ((not query.study_uids or instance.study_instance_uid in query.study_uids)
            and (not query.series_uids or instance.series_instance_uid in query.series_uids)
            and (not query.patient_ids
                 or str(instance.attributes.get("patient_id") or "") in query.patient_ids))
