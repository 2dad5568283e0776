"""C-STORE as a client: files of this machine to a peer, their data sets' bytes as they lie in the file.

What the peer does not take as it is goes uncompressed where that can be had; a coded object of ours goes as
the original that it holds, for another archive could not read it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from dicomnn.coded.egress import offered, write_as
from dicomnn.coded.mapping import Mapping
from dicomnn.coded.restore import restore
from dicomnn.coded.stored import StoredObject
from dicomnn.dicom.scan import scan
from dicomnn.errors import DicomnnError, NotCoded, NotDicom, PeerError
from dicomnn.flow.retrieve import Match
from scp.client.association import Caller, ClientAssociation, associated
from scp.dimse.plan import Batch, plan
from scp.dimse.send import PeerGone, accepted_syntaxes, await_answer, choose_context, send_data_set


@dataclass(frozen=True)
class Sent:
    """What became of one file. word: 'sent', 'warned' (the peer kept it and has a remark), 'refused' (by
    status), 'no-context' (the peer takes none of its forms), 'lost' (no answer), 'bad' (unreadable) or
    'skipped' (not DICOM)."""

    name: str
    word: str
    status: int | None = None
    syntax: str = ""
    note: str = ""


@dataclass(frozen=True)
class _File:
    name: str
    path: Path
    match: Match
    start: int
    coded: bool


def files_of(paths: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """(name, path) of files, and of all below folders, sorted."""
    for path in paths:
        if not path.is_dir():
            yield str(path), path
            continue
        for folder, folders, names in os.walk(path):
            folders.sort()
            yield from ((str(Path(folder, name)), Path(folder, name)) for name in sorted(names))


def store(
    caller: Caller,
    paths: Sequence[Path],
    told: Callable[[Sent], None],
    negotiated: Callable[[ClientAssociation], None] = lambda _assoc: None,
) -> None:
    """Send every file; ``told`` hears what became of each. Over as few associations as their contexts allow.

    Raises PeerError when the peer cannot be reached at all.
    """
    waiting: dict[tuple[str, str], list[_File]] = {}
    for name, path in files_of(paths):
        try:
            file = _read(name, path)
        except NotDicom as error:
            told(Sent(name, "skipped", note=error.message))
        except (DicomnnError, OSError) as error:
            told(Sent(name, "bad", note=str(error)))
        else:
            waiting.setdefault((file.match.sop_class_uid, file.match.received), []).append(file)
    matches = [files[0].match for files in waiting.values()]
    for batch in plan(matches):
        files = [file for match in batch.matches for file in waiting[match.sop_class_uid, match.received]]
        _send_batch(caller, batch, files, told, negotiated)


def _send_batch(
    caller: Caller,
    batch: Batch,
    files: list[_File],
    told: Callable[[Sent], None],
    negotiated: Callable[[ClientAssociation], None],
) -> None:
    done, shown = 0, False
    while done < len(files):
        before = done
        try:
            with associated(caller, batch.contexts) as assoc:
                if not shown:
                    negotiated(assoc)
                    shown = True
                for file in files[done:]:
                    told(_send(assoc, file))
                    done += 1
        except PeerGone as error:
            told(Sent(files[done].name, "lost", note=error.message))
            done += 1
        except PeerError:
            if done == before and not shown:
                raise  # it cannot be reached, or takes nothing of this
            for file in files[done:]:
                told(Sent(file.name, "lost", note="the peer cannot be reached any more"))
            return


def _send(assoc: ClientAssociation, file: _File) -> Sent:
    sop_class, received = file.match.sop_class_uid, file.match.received
    accepted = accepted_syntaxes(assoc, sop_class)
    wanted = next((uid for uid in offered(received) if uid in accepted), received)
    context = choose_context(assoc, sop_class, (received, wanted))
    if context is None:
        return Sent(
            file.name,
            "no-context",
            note="the peer takes this class in none of: "
            + ", ".join(dict.fromkeys((received, *offered(received)))),
        )
    syntax = str(context.transfer_syntax[0])
    try:
        with _data_set(file, syntax) as (source, size):
            number = assoc.next_message_id()
            send_data_set(
                assoc,
                context,
                sop_class_uid=sop_class,
                source=source,
                size=size,
                message_id=number,
                sop_instance_uid=file.match.sop_instance_uid,
            )
            status = await_answer(assoc, float(assoc.dimse_timeout or 60.0), number)
    except PeerError:
        raise
    except (DicomnnError, OSError) as error:
        return Sent(file.name, "bad", syntax=syntax, note=str(error))
    word = "sent" if status == 0 else "warned" if status & 0xF000 == 0xB000 else "refused"
    return Sent(file.name, word, status, syntax, "" if syntax == received else "converted on the way")


@contextmanager
def _data_set(file: _File, syntax: str) -> Iterator[tuple[BinaryIO, int]]:
    """Its data set in one of the syntaxes in which it can be had."""
    with ExitStack() as stack:
        path, start = file.path, file.start
        if file.coded:
            from dicomnn.shelf import default_shelf

            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            path = folder / "original.dcm"
            restore(file.path, path, default_shelf().get)
            start = _read(file.name, path).start
        if syntax != file.match.received:
            spool: Any = stack.enter_context(tempfile.TemporaryFile())
            write_as(path, spool, syntax)
            size = spool.tell()
            spool.seek(0)
            yield spool, size
            return
        source = stack.enter_context(open(path, "rb"))
        size = source.seek(0, 2) - start
        source.seek(start)
        yield source, size


def _read(name: str, path: Path) -> _File:
    with Mapping(path) as mapping:
        layout = scan(mapping.buffer)
    uid = layout.sop_instance_uid or layout.file_meta_sop_instance_uid
    sop_class = layout.sop_class_uid or layout.file_meta_sop_class_uid
    if not uid or not sop_class:
        raise NotDicom("the file has no SOP Instance UID or SOP Class UID")
    syntax, coded = layout.transfer_syntax, False
    try:
        with StoredObject(path) as stored:
            coded, syntax = True, stored.layout.transfer_syntax
    except NotCoded:
        pass
    return _File(name, path, Match(uid, sop_class, syntax), layout.dataset_start, coded)
