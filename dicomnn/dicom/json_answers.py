"""Answers to a query in the DICOM JSON Model (PS3.18 10.6.3.3): the attributes that were asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dicomnn.dicom.json_values import Json, element, text_element
from dicomnn.dicom.matching import AVAILABILITY, RETRIEVE_AE_TITLE, TIMEZONE, Asked, Query

RETRIEVE_URL = "00081190"


def json_answer(query: Query, row: Mapping[str, Any], *, retrieve_url: str, retrieve_ae_title: str,
                availability: str) -> Json:
    """One answer; ``row`` has attributes by name, as the archive keeps them."""
    found = {f"{each.tag:08X}": _asked(each, row) for each in query.asked}
    if any(isinstance(value, str) and not value.isascii() for value in row.values()):
        found["00080005"] = element("CS", ["ISO_IR 192"])
    found[f"{RETRIEVE_AE_TITLE:08X}"] = element("AE", [retrieve_ae_title])
    found[f"{AVAILABILITY:08X}"] = element("CS", [availability])
    if row.get("timezone_offset_from_utc"):
        found[f"{TIMEZONE:08X}"] = element("SH", [row["timezone_offset_from_utc"]])
    found[RETRIEVE_URL] = element("UR", [retrieve_url])
    return {tag: found[tag] for tag in sorted(found)}


def _asked(each: Asked, row: Mapping[str, Any]) -> Json:
    value = row.get(each.key.attribute) if each.key is not None else None
    if each.vr == "SQ":
        items = [_item(each, item) for item in value or ()]
        return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
    if value is None:
        return {"vr": each.vr}
    if isinstance(value, str):
        return text_element(each.vr, value)
    return element(each.vr, list(value) if isinstance(value, (list, tuple)) else [value])


def _item(each: Asked, item: Mapping[str, Any]) -> Json:
    known = each.key.items if each.key is not None else ()
    inner = [Asked(key.tag, key.vr, key) for key in known if key.attribute in item]
    return {f"{part.tag:08X}": _asked(part, item) for part in sorted(inner, key=lambda part: part.tag)}
