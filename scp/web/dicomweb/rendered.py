"""WADO-RS rendered and thumbnail: pictures for a screen, never for measuring (PS3.18 8.3.5, 10.4.1.1.3)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request

from dicomnn.dicom.display import Window
from dicomnn.errors import FrameUndecodable, IdentifierInvalid
from dicomnn.flow.frames import own_syntax, tag_of
from dicomnn.flow.render import JPEG, PNG, Picture, Viewport
from scp.web.dicomweb.accept import Choice, choices
from scp.web.dicomweb.answers import NotAcceptable, etag, parted, tagged, unchanged, whole
from scp.web.dicomweb.frames import numbers_of
from scp.web.dicomweb.multipart import Part
from scp.web.dicomweb.resources import instance_of, matches, url_of
from scp.web.services import Services

if TYPE_CHECKING:
    from dicomnn.flow.frames import Instance

THUMBNAIL = 128         # pixels of its longer side
_FUNCTIONS = {"linear": "LINEAR", "linear-exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}
_LEVELS = ("/studies/<study>", "/studies/<study>/series/<series>",
           "/studies/<study>/series/<series>/instances/<instance>")


def add_routes(blueprint: Blueprint, services: Services) -> None:
    for number, path in enumerate((*_LEVELS, _LEVELS[-1] + "/frames/<numbers>")):
        blueprint.add_url_rule(path + "/rendered", f"rendered-{number}", partial(rendered, services),
                               methods=["GET"])
        blueprint.add_url_rule(path + "/thumbnail", f"thumbnail-{number}", partial(thumbnail, services),
                               methods=["GET"])


# ------------------------------------------------------------------ what is wanted
def kind_of(found: list[Choice]) -> str:
    """JPEG where the client does not care (PS3.18 table 8.7.4-1). Raises NotAcceptable."""
    for choice in found or [Choice("*/*", False)]:
        for kind in (JPEG, PNG):
            if choice.takes(kind):
                return kind
    raise NotAcceptable


def numbers(text: str, name: str) -> list[float | None]:
    """Numbers with commas between them; None where one is left out. Raises IdentifierInvalid."""
    try:
        found = [float(part) if part.strip() else None for part in text.split(",")]
    except ValueError as error:
        raise IdentifierInvalid(f"{name} must be numbers with commas between them") from error
    if any(value is not None and not math.isfinite(value) for value in found):
        raise IdentifierInvalid(f"{name} must be finite numbers")
    return found


def window_of(arguments: Mapping[str, str]) -> Window | None:
    """``window=center,width,function``. Raises IdentifierInvalid."""
    text = arguments.get("window")
    if text is None:
        return None
    parts = text.split(",")
    function = _FUNCTIONS.get(parts[2].strip().lower(), "") if len(parts) == 3 else "LINEAR"
    values = numbers(",".join(parts[:2]), "window")
    if len(parts) not in (2, 3) or len(values) != 2 or values[0] is None or values[1] is None:
        raise IdentifierInvalid("window must be center,width and perhaps linear, linear-exact or sigmoid")
    return Window(values[0], values[1], function)


def viewport_of(arguments: Mapping[str, str]) -> Viewport | None:
    """``viewport=width,height[,left,top,across,down]``. Raises IdentifierInvalid."""
    text = arguments.get("viewport")
    if text is None:
        return None
    values = [None if value is None else int(value) for value in numbers(text, "viewport")]
    if len(values) not in (2, 6) or values[0] is None or values[1] is None:
        raise IdentifierInvalid("viewport must be width,height or width,height,left,top,across,down")
    left, top, across, down = values[2:] if len(values) == 6 else [None] * 4
    return Viewport(values[0], values[1], left or 0, top or 0, across, down)


def quality_of(arguments: Mapping[str, str], name: str = "quality") -> int:
    text = arguments.get(name, "90")
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise IdentifierInvalid(f"{name} must be 1 to 100")
    return int(text)


# ------------------------------------------------------------------ answers
def rendered(services: Services, study: str, series: str = "", instance: str = "",
             numbers: str = "") -> Response:
    """One picture alone, several in parts: the frames of a list, of an instance, of a series or study."""
    kind = kind_of(choices(request))
    wanted = Picture(kind, window_of(request.args), viewport_of(request.args), quality_of(request.args))
    if not instance:
        return _all(services, [match.sop_instance_uid for match in matches(services, study, series)], wanted)
    there = instance_of(services, study, series, instance)
    if numbers:
        return pictures(services, there, numbers_of(numbers), wanted)
    return pictures(services, there, list(range(1, services.frames.image(there).frames + 1)), wanted)


def pictures(services: Services, instance: Instance, places: list[int], wanted: Picture) -> Response:
    """These frames of one instance."""
    mark = etag("picture", tag_of(instance), own_syntax(instance), places, wanted, exact=False)
    if (same := unchanged(mark)) is not None:
        return same
    if len(places) == 1:
        return tagged(whole(services.rendering.picture(instance, places[0], wanted), wanted.kind), mark)
    return tagged(parted(wanted.kind, _parts(services, instance, places, wanted), mark=mark), mark)


def _parts(services: Services, instance: Instance, places: list[int], wanted: Picture) -> Iterator[Part]:
    for place in places:
        value = services.rendering.picture(instance, place, wanted)
        yield Part(wanted.kind, f"{url_of(instance)}/frames/{place}/rendered", (value,), len(value))


def _all(services: Services, uids: list[str], wanted: Picture) -> Response:
    """Every frame that can be shown; objects without an image are passed over."""
    def parts() -> Iterator[Part]:
        for uid in uids:
            there = services.frames.find("", "", uid)
            try:
                places = range(1, services.frames.image(there).frames + 1)
            except FrameUndecodable:
                continue
            yield from _parts(services, there, list(places), wanted)

    return parted(wanted.kind, parts())


def thumbnail(services: Services, study: str, series: str = "", instance: str = "",
              numbers: str = "") -> Response:
    """A small picture of the frame, or of one in the middle of the instance, series or study."""
    kind = kind_of(choices(request))
    wanted = Picture(kind, None, viewport_of(request.args) or Viewport(THUMBNAIL, THUMBNAIL), 80)
    if instance:
        there = instance_of(services, study, series, instance)
    else:
        there = _middle(services, study, series)
    place = numbers_of(numbers)[0] if numbers else (services.frames.image(there).frames + 1) // 2
    return pictures(services, there, [place], wanted)


def _middle(services: Services, study: str, series: str) -> Instance:
    """An instance with an image, from the middle on."""
    uids = [match.sop_instance_uid for match in matches(services, study, series)]
    uids = uids[len(uids) // 2:] + uids[:len(uids) // 2]
    for uid in uids[:50]:
        there = services.frames.find("", "", uid)
        try:
            services.frames.image(there)
        except FrameUndecodable:
            continue
        return there
    raise FrameUndecodable("there is no image in it", subject=series or study)
