"""What answers of the HTTP server stand on: the same archive functions as DIMSE."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from dicomnn.dicom.caps import STRICTEST
from dicomnn.flow.frames import Frames
from dicomnn.flow.ingest import Ingest
from dicomnn.flow.metadata import Metadata
from dicomnn.flow.opening import Archive
from dicomnn.flow.query import Search
from dicomnn.flow.render import Rendering
from dicomnn.flow.retrieve import Retrieval


@dataclass(frozen=True)
class WebLimits:
    """max_upload: bytes of one request's body. cache_bytes: of objects kept ready."""

    max_upload: int = 4 << 30
    cache_bytes: int = 512 << 20


@dataclass(frozen=True)
class Services:
    """Made once by the node and given to `create_app`; `close` it in the end.

    origins: of pages elsewhere whose scripts may read answers of DICOMweb ('*': of any). caps: the table of
    highest ratios that holds here (``dicomnn/dicom/caps.py``), for people to read.
    """

    archive: Archive
    ingest: Ingest
    search: Search
    retrieval: Retrieval
    ae_title: str = "DICOMNN"
    coded_availability: str = "ONLINE"
    limits: WebLimits = WebLimits()
    origins: tuple[str, ...] = ()
    caps: str = STRICTEST

    @cached_property
    def frames(self) -> Frames:
        """Single frames, with the cache; from now on whole objects are restored from it, too."""
        frames = Frames(self.archive, self.limits.cache_bytes)
        self.retrieval.at_hand = frames.at_hand
        return frames

    @cached_property
    def metadata(self) -> Metadata:
        """Data sets as JSON, and the bulk data that these name."""
        return Metadata(self.archive, self.frames.cache)

    @cached_property
    def rendering(self) -> Rendering:
        """Frames as pictures."""
        return Rendering(self.frames, self.metadata)

    def close(self) -> None:
        self.frames.close()
