"""C-ECHO and C-FIND as a client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pynetdicom.dimse_primitives import C_ECHO, C_FIND
from pynetdicom.presentation import PresentationContext, build_context

from dicomnn.errors import UsageError
from scp.client.association import PENDING, ClientAssociation, answers, asked, decoded
from scp.dimse.contexts import EXPLICIT_LE, IMPLICIT_LE, PATIENT_ROOT, STUDY_ROOT, VERIFICATION

LEVELS = ("PATIENT", "STUDY", "SERIES", "IMAGE")
MODELS = {"study": STUDY_ROOT, "patient": PATIENT_ROOT}
"""Name -> the SOP classes of its C-FIND, C-MOVE and C-GET."""


@dataclass(frozen=True)
class Answers:
    """What a C-FIND brought; ``status`` is the final one. Without success the answers may be incomplete."""

    found: list[Dataset]
    status: int
    comment: str = ""

    @property
    def complete(self) -> bool:
        return self.status == 0


def contexts_of(*uids: str) -> list[PresentationContext]:
    """A context with both uncompressed syntaxes for each SOP class."""
    return [build_context(uid, [EXPLICIT_LE, IMPLICIT_LE]) for uid in uids]


def echo(assoc: ClientAssociation) -> int:
    """The status of one C-ECHO. Raises PeerError."""
    request = C_ECHO()
    asked(assoc, request, VERIFICATION, None)
    return int(next(answers(assoc, request)).Status)


def find(assoc: ClientAssociation, model: str, keys: Dataset) -> Answers:
    """One C-FIND to its end. Raises PeerError."""
    request = C_FIND()
    context = asked(assoc, request, model, keys)
    found: list[Dataset] = []
    for answer in answers(assoc, request):
        if int(answer.Status) in PENDING:
            if (identifier := decoded(answer.Identifier, context)) is not None:
                found.append(identifier)
            continue
        return Answers(found, int(answer.Status), str(getattr(answer, "ErrorComment", None) or ""))
    raise AssertionError("answers end with a final one")


def identifier(level: str, keys: Mapping[str, str]) -> Dataset:
    """The identifier of a query or retrieval; values with backslashes are lists.

    Raises UsageError for a keyword that DICOM does not have.
    """
    found = Dataset()
    found.QueryRetrieveLevel = level
    # What is asked for may have any character; UTF-8 is what every archive of today understands.
    if not all(value.isascii() for value in keys.values()):
        found.SpecificCharacterSet = "ISO_IR 192"
    for name, value in keys.items():
        try:
            setattr(found, name, value.split("\\") if "\\" in value else value)
        except (ValueError, TypeError) as error:
            raise UsageError(f"'{value}' cannot be the value of {name}: {error}") from error
        if name not in found:
            raise UsageError(f"'{name}' is no DICOM keyword", cure="Write it as in PatientName, StudyDate.")
    return found


def text(found: Dataset, keyword: str) -> str:
    """A value of an answer as text, '' where there is none or it cannot be read."""
    try:
        value = found.get(keyword)
    except Exception:  # noqa: BLE001 - a peer's values are what they are
        return ""
    if value is None:
        return ""
    if isinstance(value, (MultiValue, list)):
        return "\\".join(str(part) for part in value)
    return str(value).strip(" \0")


def number(found: Dataset, keyword: str) -> int | None:
    """A count of an answer, None where there is none."""
    value = text(found, keyword)
    return int(value) if value.isascii() and value.isdigit() else None
