"""One table: which HTTP status a caller gets for which error, and which reason an instance not stored.

4xx: this request or object is wrong; 5xx: the node's own trouble, of which 503 may be tried again. Reasons
of STOW-RS are those of C-STORE (PS3.18 table I.2-2, PS3.4 B.2.3).
"""

from __future__ import annotations

from dataclasses import dataclass

from dicomnn.errors import DicomnnError

COERCED, MISMATCH = 0xB000, 0xB007                      # warnings: kept, but not as the sender may think
PROCESSING, DUPLICATE, NO_RESOURCES = 0x0110, 0x0111, 0xA700
DOES_NOT_MATCH, NOT_UNDERSTOOD = 0xA900, 0xC000


@dataclass(frozen=True)
class Row:
    """The answer to a request, and the Failure Reason of one instance of a STOW-RS request."""

    http: int
    reason: int = PROCESSING


_OWN_FAULT = Row(500)
_TRY_AGAIN = Row(503, NO_RESOURCES)
_BAD_OBJECT = Row(500, NOT_UNDERSTOOD)

TABLE: dict[str, Row] = {
    "error": _OWN_FAULT,
    "usage": Row(404),                      # a frame that there is not
    "configuration": _OWN_FAULT,
    "in-use": Row(409),
    "promise-not-kept": _OWN_FAULT,
    "codec": _OWN_FAULT,
    "payload": _OWN_FAULT,
    "payload-truncated": _OWN_FAULT,
    "payload-corrupt": _OWN_FAULT,
    "payload-implausible": _OWN_FAULT,
    "format-version": _OWN_FAULT,
    "unknown-model": _OWN_FAULT,
    "model-corrupt": _OWN_FAULT,
    "inexact-arithmetic": _OWN_FAULT,
    "samples-invalid": _OWN_FAULT,
    "training": _OWN_FAULT,
    "run-mismatch": _OWN_FAULT,
    "dicom": _BAD_OBJECT,
    "not-dicom": _BAD_OBJECT,
    "malformed": _BAD_OBJECT,
    "undecodable": Row(406, NOT_UNDERSTOOD),    # as it came it can be had
    "coded-object": _OWN_FAULT,
    "not-coded": _OWN_FAULT,
    "private-block-damaged": _OWN_FAULT,
    "restore-mismatch": _OWN_FAULT,
    "verification-failed": _OWN_FAULT,
    "archive": _TRY_AGAIN,
    "instance-not-found": Row(404),
    "object-missing": _OWN_FAULT,
    "duplicate-conflict": Row(409, DUPLICATE),
    "invalid-transition": _OWN_FAULT,
    "store-full": _TRY_AGAIN,
    "store-failed": _TRY_AGAIN,
    "index-failed": _TRY_AGAIN,
    "peer": Row(406),                       # no syntax in which it can be given
    "identifier-invalid": Row(400, DOES_NOT_MATCH),
    "too-many-matches": Row(413),
}


def http_status(error: BaseException) -> int:
    """What a request that failed with ``error`` is answered."""
    if isinstance(error, DicomnnError):
        return TABLE.get(error.code, _OWN_FAULT).http
    return 503 if isinstance(error, (OSError, MemoryError)) else 500


def failure_reason(error: BaseException) -> int:
    """Failure Reason (0008,1197) of an instance that was not stored because of ``error``."""
    if isinstance(error, DicomnnError):
        return TABLE.get(error.code, _OWN_FAULT).reason
    return NO_RESOURCES if isinstance(error, (OSError, MemoryError)) else PROCESSING
