"""Text in the character sets of DICOM (PS3.5 6.1, PS3.3 C.12.1.1.2), both ways and never with an error."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence

from pydicom.charset import convert_encodings, decode_bytes, encode_string, python_encoding

RESET_BY = {0x09, 0x0A, 0x0C, 0x0D, 0x3D, 0x5C, 0x5E}  # code extensions end there (PS3.5 6.1.2.5.3)
UTF8 = "ISO_IR 192"


def python_encodings(terms: Sequence[str]) -> list[str]:
    """Python's names of the values of Specific Character Set; ASCII for what nobody knows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return list(convert_encodings([term.strip() for term in terms]))
        except Exception:  # an unknown term is no reason to lose the rest of the name
            return ["ascii"]


def known_terms(terms: Sequence[str]) -> bool:
    """Whether each is a defined term of Specific Character Set, or empty."""
    return all(not term or term in python_encoding for term in terms)


def decoded_text(raw: bytes, encodings: Sequence[str]) -> str:
    """`raw` as text; bytes that the encodings do not have become U+FFFD."""
    if b"\x1b" not in raw:
        return raw.decode(encodings[0], "replace")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return str(decode_bytes(raw, list(encodings), RESET_BY))
        except Exception:  # whatever code extensions hold, there is some text
            return raw.decode("ascii", "replace")


def encoded_text(text: str, encodings: Sequence[str]) -> bytes:
    """`text` as bytes; each part between delimiters begins in the first set (PS3.5 6.1.2.5.3). What the
    encodings lack becomes a question mark."""
    if text.isascii():
        return text.encode("ascii")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return b"".join(bytes(encode_string(part, list(encodings))) for part in re.split(r"([\^=\\])", text))


def writable(texts: Sequence[str], encodings: Sequence[str]) -> bool:
    """Whether every text comes back from these encodings as it is."""
    return all(text.isascii() or _comes_back(text, encodings) for text in texts)


def _comes_back(text: str, encodings: Sequence[str]) -> bool:
    try:
        return decoded_text(encoded_text(text, encodings), encodings) == text
    except Exception:  # what cannot be encoded is not writable, whatever pydicom raises
        return False
