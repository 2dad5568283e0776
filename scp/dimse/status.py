"""One table: which DIMSE status a peer gets for which error.

A7xx means "try again later" (the node's own trouble), A9xx and Cxxx "this object or request is
wrong": a modality that retries on A7xx must not be sent into a loop by bad data. Statuses are those
of PS3.4 B.2.3 (C-STORE) and C.4.3 (C-GET), with the general ones of PS3.7 annex C.
"""

from __future__ import annotations

from dataclasses import dataclass

from dicomnn.errors import DicomnnError

SUCCESS = 0x0000
PENDING = 0xFF00
PENDING_UNSUPPORTED_KEYS = 0xFF01       # PS3.4 C.4.1.1.4: some optional keys are not supported
CANCELLED = 0xFE00

SOME_SUBOPERATIONS_FAILED = 0xB000      # PS3.4 C.4.3.1.4, warning
COERCED = 0xB000                        # PS3.4 B.2.3, warning: kept, but not as the peer may think
DATA_SET_MISMATCH_WARNING = 0xB007      # PS3.4 B.2.3, warning
PROCESSING_FAILURE = 0x0110             # PS3.7 C.5.7
DUPLICATE_INSTANCE = 0x0111             # PS3.7 C.5.2
NO_SUCH_INSTANCE = 0x0112               # PS3.7 C.5.9
INVALID_INSTANCE = 0x0117               # PS3.7 C.5.5
CLASS_NOT_SUPPORTED = 0x0122            # PS3.7 C.5.20
NOT_AUTHORISED = 0x0124                 # PS3.7 C.5.15
OUT_OF_RESOURCES = 0xA700               # PS3.4 B.2.3
CANNOT_COUNT = 0xA701                   # PS3.4 C.4.3.1.4
CANNOT_PERFORM = 0xA702                 # PS3.4 C.4.3.1.4
UNKNOWN_DESTINATION = 0xA801            # PS3.4 C.4.2.1.5
DATA_SET_MISMATCH = 0xA900              # PS3.4 B.2.3; in C.4.3 "identifier does not match SOP class"
CANNOT_UNDERSTAND = 0xC000              # PS3.4 B.2.3
UNABLE_TO_PROCESS = 0xC001              # PS3.4 C.4.3.1.4


@dataclass(frozen=True)
class Row:
    """What a peer is told: the answer to C-STORE, the final answers to C-GET or C-MOVE, and to C-FIND."""

    store: int
    retrieve: int
    find: int = UNABLE_TO_PROCESS


_OWN_FAULT = Row(PROCESSING_FAILURE, UNABLE_TO_PROCESS)
_OBJECT_DAMAGED = Row(PROCESSING_FAILURE, CANNOT_PERFORM)
_NOT_UNDERSTOOD = Row(CANNOT_UNDERSTAND, CANNOT_PERFORM)
_RETRY_LATER = Row(OUT_OF_RESOURCES, CANNOT_PERFORM)

TABLE: dict[str, Row] = {
    "error": _OWN_FAULT,
    "usage": _OWN_FAULT,
    "configuration": _OWN_FAULT,
    "promise-not-kept": _OWN_FAULT,
    "codec": _OBJECT_DAMAGED,
    "payload": _OBJECT_DAMAGED,
    "payload-truncated": _OBJECT_DAMAGED,
    "payload-corrupt": _OBJECT_DAMAGED,
    "payload-implausible": _OBJECT_DAMAGED,
    "format-version": _OBJECT_DAMAGED,
    "unknown-model": _OBJECT_DAMAGED,
    "model-corrupt": _OBJECT_DAMAGED,
    "inexact-arithmetic": _OBJECT_DAMAGED,
    "samples-invalid": _OBJECT_DAMAGED,
    "training": _OWN_FAULT,
    "run-mismatch": _OWN_FAULT,
    "dicom": _NOT_UNDERSTOOD,
    "not-dicom": _NOT_UNDERSTOOD,
    "malformed": _NOT_UNDERSTOOD,
    "undecodable": _NOT_UNDERSTOOD,
    "coded-object": _OBJECT_DAMAGED,
    "not-coded": _OBJECT_DAMAGED,
    "private-block-damaged": _OBJECT_DAMAGED,
    "restore-mismatch": _OBJECT_DAMAGED,
    "verification-failed": _OBJECT_DAMAGED,
    "archive": _RETRY_LATER,
    "instance-not-found": Row(NO_SUCH_INSTANCE, CANNOT_PERFORM),
    "object-missing": _OBJECT_DAMAGED,
    "duplicate-conflict": Row(DUPLICATE_INSTANCE, UNABLE_TO_PROCESS),
    "in-use": _OWN_FAULT,
    "invalid-transition": _OWN_FAULT,
    "store-full": _RETRY_LATER,
    "store-failed": _RETRY_LATER,
    "index-failed": Row(OUT_OF_RESOURCES, CANNOT_COUNT, OUT_OF_RESOURCES),
    "peer": _OWN_FAULT,
    "identifier-invalid": Row(DATA_SET_MISMATCH, DATA_SET_MISMATCH, DATA_SET_MISMATCH),
    "too-many-matches": Row(PROCESSING_FAILURE, CANNOT_COUNT, OUT_OF_RESOURCES),
}


def store_status(error: BaseException) -> int:
    """The C-STORE status for ``error``; what is no DicomnnError is the node's own fault (0110)."""
    if isinstance(error, DicomnnError):
        return TABLE.get(error.code, _OWN_FAULT).store
    if isinstance(error, (OSError, MemoryError)):
        return OUT_OF_RESOURCES
    return PROCESSING_FAILURE


def retrieve_status(error: BaseException) -> int:
    """The final C-GET status when the request as a whole failed with ``error``."""
    if isinstance(error, DicomnnError):
        return TABLE.get(error.code, _OWN_FAULT).retrieve
    return CANNOT_PERFORM if isinstance(error, (OSError, MemoryError)) else UNABLE_TO_PROCESS


def find_status(error: BaseException) -> int:
    """The final C-FIND status for ``error``."""
    if isinstance(error, DicomnnError):
        return TABLE.get(error.code, _OWN_FAULT).find
    return OUT_OF_RESOURCES if isinstance(error, (OSError, MemoryError)) else UNABLE_TO_PROCESS


def comment(text: str) -> str:
    """``text`` as an Error Comment (0000,0902): VR LO, one line of printable ASCII, 64 characters."""
    clean = "".join(c if 32 <= ord(c) < 127 and c != "\\" else " " for c in text)
    return " ".join(clean.split())[:64]
