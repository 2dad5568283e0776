"""The highest ratio that a lossy profile may reach, by kind of image, and who says so.

The guidelines speak of JPEG and JPEG 2000; no body was found that approves a learned codec. So these are caps
and no permission, and where they differ the strictest holds; a site may adopt the German consensus, which
allows more for CT of the body and MR. Ratios count Bits Stored. What has no row is never coded with loss.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dicomnn.dicom.attributes import Attributes

STRICTEST, DRG = "strictest", "drg-2008"
TABLES = (STRICTEST, DRG)

_DRG = "Deutsche Röntgengesellschaft, consensus conference 2008 (RöFo 2009)"
_RCR = "Royal College of Radiologists 2008 (BFCR(06)4)"
_CAR = "Canadian Association of Radiologists 2008/2011"
MQSA = "21 CFR 900.12(c)(4): mammograms are kept as they are or compressed without loss"
NO_SECOND = "no second lossy compression (RöFo 2009;181:629)"
MEASUREMENTS = "values that are measurements stay exact (RCR 2008 for planning; no guideline has a ratio)"

# What Body Part Examined (0018,0015) may say (PS3.16 annex L, and older usage). The spine is in neither:
# neuro to some, body to others, so the lower cap holds.
HEAD = frozenset(
    "HEAD BRAIN SKULL NEURO CRANIUM FACE ORBIT ORBITS EYE EAR IAC SINUS SINUSES PARANASALSINUS PNS JAW"
    " MAXILLA MANDIBLE TMJ NOSE SELLA PITUITARY HEADNECK HEADANDNECK".split()
)
BODY = frozenset(
    "ABDOMEN ABDOMENPELVIS CHEST CHESTABDOMEN CHESTABDPELVIS THORAX LUNG LUNGS HEART CORONARY CARDIAC AORTA"
    " PELVIS HIP LIVER KIDNEY SPLEEN PANCREAS COLON BLADDER PROSTATE SHOULDER"
    " CLAVICLE HUMERUS ELBOW FOREARM WRIST HAND FINGER FEMUR KNEE LEG ANKLE FOOT TOE EXTREMITY ARM"
    " TRUNK BODY RIB STERNUM".split()
)
_PLANNING = re.compile(
    r"\b(rt|rtp|radio ?-?therap\w*|radiation|radio ?-?onc\w*|planning|planungs?\w*|bestrahlung\w*|"
    r"dosimetr\w*|brachy\w*|simulat\w*|ct ?-?sim)\b",
    re.IGNORECASE,
)
_MAPS = frozenset(
    "ADC FA EADC CBF CBV MTT TTP TMAX RCBF RCBV PERMEABILITY KTRANS VELOCITY PHASE T1MAP T2MAP T1_MAP"
    " T2_MAP R2_MAP R2STAR_MAP T2STAR_MAP B0_MAP FIELD_MAP TEMPERATURE QUANTITATIVE MONO_ENERGETIC IODINE"
    " MATERIAL VELOCITY_MAP".split()
)


_NO_UNITS = frozenset(("", "HU", "US", "NORMALIZED"))
"""Rescale Type of values that are looked at: Hounsfield units, none, and what some MR scanners write."""


@dataclass(frozen=True)
class Row:
    """`cap`: highest ratio by Bits Stored; `drg`: where that consensus is adopted and allows another."""

    region: str
    cap: float
    guideline: str
    drg: float | None = None

    def under(self, table: str) -> tuple[float, str]:
        """Cap and guideline in that table."""
        if table == DRG and self.drg is not None:
            return self.drg, f"{_DRG}, adopted by this site"
        return self.cap, self.guideline


ROWS = {
    "ct-head": Row("CT of the head", 5.0, f"{_DRG}; {_RCR}"),
    "ct-body": Row("CT of the body", 5.0, _RCR, 8.0),
    "ct": Row("CT, body part not told apart", 5.0, f"{_DRG}; {_RCR}"),
    "mr": Row("MR", 5.0, _RCR, 7.0),
    "cr": Row("radiography", 10.0, f"{_DRG}; {_RCR}"),
    "xa": Row("angiography and fluoroscopy", 6.0, _DRG),
    "us": Row("ultrasound", 8.0, _CAR),
}
_MODALITIES = {"MR": "mr", "CR": "cr", "DX": "cr", "XA": "xa", "RF": "xa", "US": "us"}


@dataclass(frozen=True)
class Cap:
    """What holds for one image. Refused where `reason`, a code of `eligibility.REASONS`, is not ''."""

    ratio: float | None
    region: str
    guideline: str
    table: str
    reason: str = ""
    why: str = ""


def cap_of(
    attributes: Attributes, figure: str, value: float, table: str = STRICTEST, *, rescale_type: str = ""
) -> Cap:
    """The cap for an image, or why loss is refused, for a profile lossy:`figure`=`value`. `rescale_type`:
    Rescale Type (0028,1054), the unit of its values."""
    if why := planning(attributes):
        return _no(table, "lossy-forbidden", f"{why}; {MEASUREMENTS}")
    if why := _map(attributes, rescale_type):
        return _no(table, "lossy-forbidden", f"{why}; {MEASUREMENTS}")
    part = re.sub(r"[^A-Z]", "", (attributes.body_part_examined or "").upper())
    modality = attributes.modality or ""
    if modality in ("CR", "DX", "XA", "RF") and ("BREAST" in part or "MAMMA" in part):
        return _no(table, "lossy-forbidden", f"an image of the breast: {MQSA}")
    row = _row(modality, part, table)
    if row is None:
        what = modality or "an unknown modality"
        return _no(table, "lossy-no-cap", f"no guideline in the table speaks of {what}")
    if isinstance(row, str):
        return _no(table, "lossy-body-part", row)
    ratio, guideline = row.under(table)
    if figure == "ratio" and value > ratio:
        return Cap(
            ratio, row.region, guideline, table, "lossy-above-cap",
            f"ratio={value:g} was asked for, {row.region} may have {ratio:g}:1 at most: {guideline}",
        )  # fmt: skip
    return Cap(ratio, row.region, guideline, table)


def strictest(modality: str) -> float | None:
    """The cap of a modality whatever the body part, by the strictest guideline; None: it is never lossy."""
    row = ROWS.get("ct" if modality == "CT" else _MODALITIES.get(modality, ""))
    return None if row is None else row.cap


def _no(table: str, reason: str, why: str) -> Cap:
    return Cap(None, "", why, table, reason, why)


def _row(modality: str, part: str, table: str) -> Row | str | None:
    """The row; a sentence where Body Part Examined is needed to tell it and is not there."""
    if modality == "CT":
        if table == DRG and not part:
            return ("Body Part Examined is empty, and the caps for CT differ by body part: "
                    f"head 5, body 8 ({_DRG})")
        return ROWS["ct-body" if part in BODY else "ct-head" if part in HEAD else "ct"]
    if modality in ("CR", "DX") and not part:
        return (f"Body Part Examined is empty, so a mammogram cannot be excluded ({MQSA})")
    name = _MODALITIES.get(modality)
    return ROWS[name] if name else None


def planning(attributes: Attributes) -> str:
    """Why a CT is taken for one of radiotherapy planning, '' if it is not: by its descriptions."""
    if attributes.modality != "CT":
        return ""
    for name in ("study_description", "series_description", "protocol_name"):
        text = getattr(attributes, name) or ""
        if _PLANNING.search(text.replace("_", " ")):
            return f"a CT for radiotherapy planning, by its description '{text[:60]}'"
    return ""


def _map(attributes: Attributes, rescale_type: str) -> str:
    """Why the values are those of a quantitative map, by their unit, and by Image Type from its third value
    on."""
    if rescale_type.strip().upper() not in _NO_UNITS:
        return f"Rescale Type says {rescale_type.strip()}: measured values"
    values = [value.strip().upper() for value in (attributes.image_type or "").split("\\")]
    for value in values[2:]:
        plain = value.replace(" ", "_")
        if plain in _MAPS or plain.endswith("_MAP"):
            return f"Image Type says {value}: a map of measured values"
    return ""
