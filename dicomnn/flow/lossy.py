"""What a lossy profile needs beside itself, put together for one instance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dicomnn.dicom.caps import STRICTEST
from dicomnn.errors import UnknownModel

if TYPE_CHECKING:
    from dicomnn.codec.profile import Profile
    from dicomnn.coded.lossy import LossyRule
    from dicomnn.shelf import Shelf


UPLOADED = "web:"
"""Before the name of whoever uploads, in the source of an instance (``upload.py``)."""


@dataclass(frozen=True)
class Lossy:
    """What a site has decided for all lossy profiles. `caps`: a table of ``dicom/caps.py``; `compare`: find
    out what JPEG 2000 would have needed, some eight codings of one frame. Plain data for worker processes."""

    caps: str = STRICTEST
    compare: bool = True


def lossy_rule(shelf: Shelf, profile: Profile, *, caps: str = STRICTEST, asked_by: str = "",
               compare: bool = True) -> LossyRule | None:
    """For ``seal``; None where the profile is not lossy. Without any model of the lossy tier the rule has
    none, and the instance goes to the next profile with that reason."""
    if profile.kind != "lossy":
        return None
    from dicomnn.coded.lossy import LossyRule

    try:
        model = shelf.lossy.newest()
    except UnknownModel:
        model = None
    return LossyRule(model, caps, asked_by, compare)
