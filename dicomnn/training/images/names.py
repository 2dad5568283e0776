"""Which scanner, which patient, which kind of image: names as data sets give them, made comparable.

Patients, studies and series are kept as digests only. They serve to keep images of one patient together,
not to tell who it is; all the same a digest of a guessable number can be guessed, so a catalogue stays
where the images are.
"""

from __future__ import annotations

import hashlib
import re

GROUPS = {
    "CT": "CT", "MR": "MR", "MA": "MR",
    "CR": "XR", "DX": "XR", "MG": "XR", "XA": "XR", "RF": "XR", "IO": "XR", "PX": "XR", "DF": "XR",
    "DR": "XR", "RG": "XR", "XC": "OT", "RTIMAGE": "XR", "PT": "NM", "NM": "NM", "ST": "NM", "US": "US",
    "IVUS": "US", "OCT": "OT", "OPT": "OT", "SC": "OT",
}  # fmt: skip
"""Modality (PS3.3 C.7.3.1.1.1) -> group of images that look alike to a codec."""
OTHER = "OT"

BRANDS = {
    "ge": "ge", "gems": "ge", "siemens": "siemens", "philips": "philips", "toshiba": "toshiba",
    "canon": "toshiba", "hitachi": "hitachi", "fuji": "fuji", "fujifilm": "fuji", "varian": "varian",
    "elekta": "elekta", "agfa": "agfa", "carestream": "carestream", "kodak": "carestream",
    "hologic": "hologic", "bruker": "bruker", "uih": "uih", "samsung": "samsung", "konica": "konica",
    "shimadzu": "shimadzu", "neusoft": "neusoft", "mindray": "mindray", "esaote": "esaote",
}  # fmt: skip
"""First telling word of a manufacturer -> brand. Toshiba's scanners became Canon's with their models."""
FILLERS = {
    "medical", "systems", "system", "healthineers", "healthcare", "corporation", "corp", "inc", "co", "ltd",
    "gmbh", "company", "mec", "photo", "film", "electric", "general", "manufacturer", "model", "series",
    "magnetom", "somatom", "the", "and", "of", "mri", "biospin",
}  # fmt: skip
"""Words that the same scanner has in one data set and lacks in another."""
NOBODY = {
    "", "0", "00000000", "none", "unknown", "unnamed", "anon", "anonym", "anonymous", "anonymized",
    "anonymised", "deidentified", "removed", "patient", "phantom", "test", "na", "null", "xx", "dicom",
}  # fmt: skip
"""Patient IDs that many people share; such images are told apart by their study."""


def group_of(modality: str) -> str:
    """CT, MR, XR, NM, US or OT."""
    return GROUPS.get(modality.strip().upper(), OTHER)


def words_of(text: str) -> list[str]:
    """Lower-case runs of letters and digits."""
    return re.findall(r"[a-z0-9]+", text.lower())


def device_of(manufacturer: str, model: str, source: str) -> str:
    """Manufacturer and model as one key: 'siemens prisma fit' for both 'SIEMENS, Prisma_fit' and 'Siemens
    Healthineers, MAGNETOM Prisma Fit'. What tells neither gets a key of its source: '?source'.
    """
    makers, models = words_of(manufacturer), words_of(model)
    if makers[:2] == ["general", "electric"]:
        makers = ["ge"]
    brand = next((BRANDS[word] for word in [*makers, *models] if word in BRANDS), "")
    if not brand:
        brand = " ".join(word for word in makers if word not in FILLERS)
    named = [word for word in models if word not in FILLERS and BRANDS.get(word) != brand]
    key = " ".join([brand, *named]).strip()
    return key or f"?{source}"


def digest_of(*parts: str) -> str:
    """16 hex digits for a patient, study or series; empty when nothing is known."""
    if not any(parts):
        return ""
    return hashlib.sha256("\0".join(("dicomnn training", *parts)).encode()).hexdigest()[:16]


def patient_of(patient_id: str, issuer: str, name: str, birth_date: str) -> str:
    """Digest of a patient, empty for the IDs that stand for nobody."""
    if "".join(words_of(patient_id)) not in NOBODY:
        return digest_of("patient", patient_id.strip().lower(), issuer.strip().lower())
    if birth_date.strip() and "".join(words_of(name)) not in NOBODY:
        return digest_of("name", name.strip().lower(), birth_date.strip())
    return ""
