"""Identifiers of queries and retrievals: decoded, and the unique keys of what is to be retrieved."""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset
from pynetdicom.dsutils import decode
from pynetdicom.presentation import PresentationContext

from dicomnn.errors import IdentifierInvalid
from dicomnn.flow.retrieve import LEVELS, Query
from scp.dimse.contexts import PATIENT_ROOT

_KEYS = {"PATIENT": "PatientID", "STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID",
         "IMAGE": "SOPInstanceUID"}


def identifier_of(request: Any, context: PresentationContext) -> Dataset:
    """The identifier of a request; its values are not converted yet.

    Raises
    ------
    IdentifierInvalid
        It is no data set of the context's transfer syntax.
    """
    syntax = context.transfer_syntax[0]
    try:
        return decode(request.Identifier, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)
    except Exception as error:
        raise IdentifierInvalid("the identifier cannot be decoded") from error


def parse_query(identifier: Dataset, model_uid: str) -> Query:
    """The level and the unique keys of a C-GET or C-MOVE identifier (PS3.4 C.4.2.1.4, C.4.3.1.3).

    Unique keys above the level may be left out, as many viewers do; those that are there must match.

    Raises
    ------
    IdentifierInvalid
        No such level in this model, no unique key, or a wildcard where UIDs must stand.
    """
    try:
        identifier.walk(lambda _ds, _element: None, recursive=False)    # values are converted here
    except Exception as error:
        raise IdentifierInvalid("the identifier cannot be decoded") from error
    level = str(identifier.get("QueryRetrieveLevel", "") or "").strip()
    if level not in LEVELS or (level == "PATIENT" and model_uid not in PATIENT_ROOT):
        raise IdentifierInvalid(f"'{level[:16]}' is no Query/Retrieve Level of this model")
    keys: dict[str, tuple[str, ...]] = {}
    for name, keyword in _KEYS.items():
        value = identifier.get(keyword)
        texts = [value] if isinstance(value, str) else list(value or ())
        texts = [str(t).strip(" \0") for t in texts if str(t).strip(" \0")]
        if any(c in t for t in texts for c in "*?") and keyword != "PatientID":
            raise IdentifierInvalid(f"{keyword} must be a UID or a list of UIDs")
        if LEVELS.index(name) > LEVELS.index(level):
            continue
        keys[name] = tuple(texts)
    if not keys[level]:
        raise IdentifierInvalid(f"{_KEYS[level]} is needed at the {level} level")
    return Query(level=level, patient_ids=keys["PATIENT"], study_uids=keys.get("STUDY", ()),
                 series_uids=keys.get("SERIES", ()), instance_uids=keys.get("IMAGE", ()))
