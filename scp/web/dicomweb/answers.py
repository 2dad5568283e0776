"""Answers of every kind: JSON, one body, or parts; refusals in plain words; which copy is which (ETag)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

import structlog
from flask import Response, request, stream_with_context

from dicomnn.errors import DicomnnError
from dicomnn.version import library_version
from scp.web.dicomweb.multipart import Part, Writer
from scp.web.status import http_status

log = structlog.get_logger(__name__)

JSON = "application/dicom+json"
AGENT = "dicomnn"


class NotAcceptable(Exception):
    """Nothing of what the client takes can be given."""


def refusal(status: int, sentence: str) -> Response:
    """A status and why, for people."""
    return Response(sentence.rstrip() + "\n", status, mimetype="text/plain")


def failed(error: BaseException) -> Response:
    """The answer to a request that ended with ``error``."""
    status = http_status(error)
    if isinstance(error, DicomnnError):
        log.info("web-refused", path=request.path, status=status, code=error.code, reason=str(error))
        told = error.message if status < 500 else error.sentence()
        return refusal(status, told[:1].upper() + told[1:])
    log.error("web-failed", path=request.path, status=status, exc_info=error)
    return refusal(status, "The node could not answer this; its log says why.")


def as_json(found: Any, status: int = 200, warnings: Iterable[str] = ()) -> Response:
    """``found`` as it is, in UTF-8."""
    return _warned(Response(json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "replace"), status, content_type=JSON), warnings)


def streamed_json(texts: Iterator[bytes]) -> Response | None:
    """A list of objects that are JSON text already; the first is made before anything is sent. None when
    there is none."""
    first = next(texts, None)
    if first is None:
        return None

    def body() -> Iterator[bytes]:
        yield b"[" + first
        for text in texts:
            yield b"," + text
        yield b"]"

    return Response(stream_with_context(body()), content_type=JSON)


def one_part(kind: str, part: Part, mark: str = "") -> Response:
    """multipart/related of a single part that is at hand: as one body, whose length is told."""
    writer = Writer(kind, mark)
    return Response(b"".join(writer.body((part,))), content_type=writer.content_type)


def parted(kind: str, parts: Iterator[Part], status: int = 200, warnings: Iterable[str] = (),
           mark: str = "") -> Response:
    """multipart/related; the first part is made before anything is sent, so its failure is an answer."""
    first = next(parts, None)
    writer = Writer(kind, mark)

    def body() -> Iterator[bytes]:
        def all_parts() -> Iterator[Part]:
            if first is not None:
                yield first
            yield from parts

        try:
            yield from writer.body(all_parts())
        except Exception as error:  # the connection is broken off: nobody takes half for whole
            log.warning("web-broken-off", reason=str(error))
            raise
    return _warned(Response(stream_with_context(body()), status, content_type=writer.content_type), warnings)


def whole(value: bytes, content_type: str) -> Response:
    """One body, of which the client may ask for a range."""
    response = Response(value, content_type=content_type)
    response.make_conditional(request, accept_ranges=True, complete_length=len(value))
    return response


def _warned(response: Response, warnings: Iterable[str]) -> Response:
    for text in warnings:
        clean = "".join(c if 32 <= ord(c) < 127 and c not in '"\\' else "?" for c in text)
        response.headers.add("Warning", f'299 {AGENT} "{clean[:400]}"')
    return response


def etag(*parts: object, exact: bool = True) -> str:
    """Names one representation. exact: its bytes follow from the object alone, else also from our version."""
    text = "\0".join(map(str, parts if exact else (*parts, library_version())))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def unchanged(tag: str) -> Response | None:
    """304 where the client has it already."""
    if request.if_none_match.contains(tag):
        response = Response(status=304)
        response.set_etag(tag)
        return response
    return None


def tagged(response: Response, tag: str) -> Response:
    """With its ETag; a private copy may be kept, and is checked before it is used."""
    if response.status_code in (200, 206):
        response.set_etag(tag)
        response.headers["Cache-Control"] = "private, no-cache"
    return response
