"""WADO-RS frames and bulk data: single frames in the representation that the client prefers (PS3.18 10.4)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request

from dicomnn.errors import FrameUndecodable, IdentifierInvalid, UsageError
from dicomnn.flow.frames import Frame, own_syntax, tag_of
from dicomnn.flow.retrieve import NoCommonSyntax
from scp.web.dicomweb.accept import Choice, choices
from scp.web.dicomweb.answers import NotAcceptable, etag, one_part, parted, tagged, unchanged, whole
from scp.web.dicomweb.media import OCTETS, frame_choices, media_of
from scp.web.dicomweb.multipart import Part
from scp.web.dicomweb.resources import instance_of, url_of
from scp.web.services import Services

if TYPE_CHECKING:
    from dicomnn.flow.frames import Instance

PIXEL_PATHS = ("7FE00008", "7FE00009", "7FE00010")
MOST = 100_000      # numbers in a list
_NUMBERS = re.compile(r"[0-9]{1,9}(?:(?:,|%2[Cc])[0-9]{1,9})*")
_PATH = re.compile(r"[0-9A-Fa-f]{8}(?:/[0-9]{1,6}/[0-9A-Fa-f]{8})*")
_INSTANCE = "/studies/<study>/series/<series>/instances/<instance>"


def add_routes(blueprint: Blueprint, services: Services) -> None:
    blueprint.add_url_rule(_INSTANCE + "/frames/<numbers>", "frames", partial(frames, services),
                           methods=["GET"])
    blueprint.add_url_rule(_INSTANCE + "/bulkdata/<path:path>", "bulkdata", partial(bulkdata, services),
                           methods=["GET"])


def numbers_of(text: str) -> list[int]:
    """Frame numbers of a path, counted from 1. Raises IdentifierInvalid."""
    if not _NUMBERS.fullmatch(text) or text.count(",") >= MOST:
        raise IdentifierInvalid("frames are named by their numbers, with commas between them")
    found = [int(number) for number in text.split(",")]
    if 0 in found:
        raise IdentifierInvalid("frames are counted from 1")
    return found


def frames(services: Services, study: str, series: str, instance: str, numbers: str) -> Response:
    """One part for each number; a single frame alone where the client prefers that."""
    return answered(services, instance_of(services, study, series, instance), numbers_of(numbers))


def answered(services: Services, instance: Instance, numbers: list[int]) -> Response:
    """These frames, by the Accept header of the present request."""
    accepted = frame_choices(choices(request))
    if len(numbers) > 1:        # several never fit into a single part
        accepted = [each for each in accepted if each[0].multipart or each[0].media == "*/*"]
    if not accepted:
        raise NotAcceptable
    # The list of what is accepted and what lies there decide which representation this is.
    exact = own_syntax(instance) == accepted[0][1]
    mark = etag("frames", tag_of(instance), own_syntax(instance), numbers, accepted, exact=exact)
    if (same := unchanged(mark)) is not None:
        return same
    first, choice = _first(services, instance, numbers[0], accepted)
    kind = f"{media_of(first.transfer_syntax)}; transfer-syntax={first.transfer_syntax}"
    if not choice.multipart and choice.media != "*/*":
        return tagged(whole(first.value, kind), mark)

    def part(number: int, frame: Frame) -> Part:
        return Part(kind, f"{url_of(instance)}/frames/{number}", (frame.value,), len(frame.value))

    if len(numbers) == 1:
        return tagged(one_part(media_of(first.transfer_syntax), part(numbers[0], first), mark), mark)

    def parts() -> Iterator[Part]:
        yield part(numbers[0], first)
        for number in numbers[1:]:
            yield part(number, services.frames.frame(instance, number, (first.transfer_syntax,)))

    return tagged(parted(media_of(first.transfer_syntax), parts(), mark=mark), mark)


def _first(services: Services, instance: Instance, number: int,
           accepted: list[tuple[Choice, str]]) -> tuple[Frame, Choice]:
    trouble: FrameUndecodable | None = None
    for choice, syntax in accepted:
        try:
            return services.frames.frame(instance, number, (syntax,)), choice
        except NoCommonSyntax:
            continue
        except FrameUndecodable as error:
            trouble = error
    if trouble is not None:
        raise trouble
    raise NotAcceptable


def bulkdata(services: Services, study: str, series: str, instance: str, path: str) -> Response:
    """What a BulkDataURI of the metadata names; of Pixel Data all frames."""
    there = instance_of(services, study, series, instance)
    if not _PATH.fullmatch(path):
        raise UsageError("there is no such value")
    if path.upper() in PIXEL_PATHS:
        count = services.frames.image(there).frames
        return answered(services, there, list(range(1, count + 1)))
    found = choices(request) or [Choice("*/*", False)]
    choice = next((each for each in found if each.takes(OCTETS)), None)
    if choice is None:
        raise NotAcceptable
    mark = etag("bulkdata", tag_of(there), path.upper(), choice.multipart)
    if (same := unchanged(mark)) is not None:
        return same
    _, value = services.metadata.bulk(there, path.upper())
    if choice.multipart:
        part = Part(OCTETS, f"{url_of(there)}/bulkdata/{path}", (value,), len(value))
        return tagged(one_part(OCTETS, part, mark), mark)
    return tagged(whole(value, OCTETS), mark)
