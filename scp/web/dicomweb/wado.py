"""WADO-RS: instances as they came or as asked, and their metadata (PS3.18 10.4)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request

from dicomnn.dicom.syntaxes import COMPRESSIONS, EXPLICIT_LITTLE
from dicomnn.errors import DicomnnError, FrameUndecodable, InstanceNotFound
from dicomnn.flow.frames import AS_STORED, own_syntax, tag_of
from dicomnn.flow.retrieve import Match, NoCommonSyntax, Outgoing
from dicomnn.flow.sending import prepared
from scp.web.dicomweb.accept import Choice, choices, takes_json
from scp.web.dicomweb.answers import NotAcceptable, etag, parted, streamed_json, tagged, unchanged
from scp.web.dicomweb.media import DICOM
from scp.web.dicomweb.multipart import PIECE, Part
from scp.web.dicomweb.resources import checked, instance_of, matches, url, url_of
from scp.web.services import Services

if TYPE_CHECKING:
    from dicomnn.flow.frames import Instance

AHEAD = max(2, min(4, os.cpu_count() or 1))

Wish = tuple[tuple[str, ...] | None, tuple[str, ...]]
"""Accepted syntaxes (None: as received) and those to compress to, as `Retrieval.prepare` takes them."""


def add_routes(blueprint: Blueprint, services: Services) -> None:
    for number, path in enumerate(("/studies/<study>", "/studies/<study>/series/<series>",
                                   "/studies/<study>/series/<series>/instances/<instance>")):
        blueprint.add_url_rule(path, f"retrieve-{number}", partial(retrieved, services), methods=["GET"])
        blueprint.add_url_rule(path + "/metadata", f"metadata-{number}", partial(described, services),
                               methods=["GET"])


# ------------------------------------------------------------------ instances
def wishes(choice: Choice) -> list[Wish]:
    """What one alternative means. Without a transfer syntax: Explicit VR Little Endian, and what cannot be
    written so (video, say) as it came."""
    if choice.transfer_syntax == AS_STORED:
        return [(None, ())]
    if choice.transfer_syntax:
        uid = choice.transfer_syntax
        return [((uid,), (uid,) if uid in COMPRESSIONS.values() else ())]
    return [((EXPLICIT_LITTLE,), ()), (None, ())]


def retrieved(services: Services, study: str, series: str = "", instance: str = "") -> Response:
    """Part 10 files, one a part, each as it is read."""
    found = matches(services, study, series, instance)
    for choice in choices(request) or [Choice(DICOM, True)]:
        if not choice.takes(DICOM):
            continue
        fitting = [match for match in found
                   if any(services.retrieval.fits(match, wish[0]) for wish in wishes(choice))]
        if not fitting:
            continue
        try:
            return _sent(services, study, series, choice, found, fitting)
        except NoCommonSyntax:
            continue
    raise NotAcceptable


def _sent(services: Services, study: str, series: str, choice: Choice, found: list[Match],
          fitting: list[Match]) -> Response:
    mark = ""
    if len(found) == 1:
        there = services.frames.find("", "", found[0].sop_instance_uid)
        mark = etag("file", tag_of(there), own_syntax(there), choice.multipart, choice.transfer_syntax,
                    exact=False)
        if (same := unchanged(mark)) is not None:
            return same
    outgoing = prepared(partial(given, services, wishes(choice)), fitting, AHEAD)
    if not choice.multipart and choice.media == DICOM and len(found) == 1:
        return tagged(single(next(outgoing)), mark)
    warnings = []
    if len(fitting) < len(found):
        left = {match.sop_instance_uid for match in found} - {match.sop_instance_uid for match in fitting}
        warnings.append(f"{len(left)} instances cannot be given in this transfer syntax: "
                        + ", ".join(sorted(left)[:4]))
    response = parted(DICOM, (_part(each, url(study, series, each.sop_instance_uid) if series else "")
                              for each in outgoing), 206 if warnings else 200, warnings, mark)
    return tagged(response, mark) if mark else response


def given(services: Services, wanted: list[Wish], match: Match) -> Outgoing:
    """The instance by the first wish that can be met. Raises what `Retrieval.prepare` raises."""
    trouble: DicomnnError | None = None
    for accepted, compress in wanted:
        try:
            return services.retrieval.prepare(match, accepted, compress)
        except (NoCommonSyntax, FrameUndecodable) as error:
            trouble = error
    assert trouble is not None
    raise trouble


def content_type(outgoing: Outgoing) -> str:
    return f"{DICOM}; transfer-syntax={outgoing.transfer_syntax_uid}"


def pieces(outgoing: Outgoing) -> Iterator[bytes]:
    """The Part 10 file; the source is closed behind it."""
    with outgoing:
        yield outgoing.prefix
        left = outgoing.size
        while left and (piece := outgoing.source.read(min(PIECE, left))):
            left -= len(piece)
            yield piece


def _part(outgoing: Outgoing, location: str) -> Part:
    return Part(content_type(outgoing), location, pieces(outgoing), len(outgoing.prefix) + outgoing.size)


def single(outgoing: Outgoing) -> Response:
    """One file alone."""
    response = Response(pieces(outgoing), content_type=content_type(outgoing))
    response.content_length = len(outgoing.prefix) + outgoing.size
    return response


# ------------------------------------------------------------------ metadata
def described(services: Services, study: str, series: str = "", instance: str = "") -> Response:
    """The data sets in the DICOM JSON Model, as they are restored, one after the other."""
    checked(study, series, instance)
    if not takes_json(choices(request)):
        raise NotAcceptable
    mark = ""
    if instance:
        there = instance_of(services, study, series, instance)
        mark = etag("metadata", tag_of(there), own_syntax(there), url_of(there), exact=False)
        if (same := unchanged(mark)) is not None:
            return same
        found: Iterator[Instance] = iter((there,))
    else:
        found = services.frames.listed(study, series)

    def texts() -> Iterator[bytes]:
        for each in found:
            yield services.metadata.text(each, url_of(each) + "/bulkdata/")

    response = streamed_json(texts())
    if response is None:
        raise InstanceNotFound("there is no such study or series", subject=series or study)
    return tagged(response, mark) if mark else response
