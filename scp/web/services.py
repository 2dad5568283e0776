"""What answers of the HTTP server stand on: the same archive functions as DIMSE."""

from __future__ import annotations

from dataclasses import dataclass

from dicomnn.flow.ingest import Ingest
from dicomnn.flow.opening import Archive
from dicomnn.flow.query import Search
from dicomnn.flow.retrieve import Retrieval


@dataclass(frozen=True)
class Limits:
    """max_upload: bytes of one request's body. cache_bytes: of objects kept ready."""

    max_upload: int = 4 << 30
    cache_bytes: int = 512 << 20


@dataclass(frozen=True)
class Services:
    """Made once by the node and given to `create_app`."""

    archive: Archive
    ingest: Ingest
    search: Search
    retrieval: Retrieval
    ae_title: str = "DICOMNN"
    coded_availability: str = "ONLINE"
    limits: Limits = Limits()
