"""WADO-URI: one object by its UIDs in the query part, as a file or as a picture (PS3.18 chapter 9)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from flask import Blueprint, Response, request

from dicomnn.dicom.display import Window
from dicomnn.errors import IdentifierInvalid
from dicomnn.flow.render import JPEG, LARGEST_SIDE, PNG, Picture, Viewport
from scp.web.dicomweb.accept import Choice
from scp.web.dicomweb.answers import NotAcceptable
from scp.web.dicomweb.media import DICOM
from scp.web.dicomweb.rendered import numbers, pictures, quality_of
from scp.web.dicomweb.resources import checked, instance_of, matches
from scp.web.dicomweb.wado import given, single, wishes
from scp.web.services import Services


def add_routes(blueprint: Blueprint, services: Services) -> None:
    blueprint.add_url_rule("/wado", "wado-uri", partial(retrieved, services), methods=["GET"])


def retrieved(services: Services) -> Response:
    """``requestType=WADO&studyUID=&seriesUID=&objectUID=``; a JPEG of an image without ``contentType``."""
    arguments = request.args
    if arguments.get("requestType") != "WADO":
        raise IdentifierInvalid("requestType must be WADO")
    study, series, uid = (arguments.get(name, "") for name in ("studyUID", "seriesUID", "objectUID"))
    if not (study and series and uid):
        raise IdentifierInvalid("studyUID, seriesUID and objectUID must be given")
    checked(study, series, uid)
    asked = [part.split(";")[0].strip().lower() for part in arguments.get("contentType", JPEG).split(",")]
    for kind in asked:
        if kind == DICOM:
            wanted = wishes(Choice(DICOM, False, arguments.get("transferSyntax", "")))
            (match,) = matches(services, study, series, uid)[:1]
            return single(given(services, wanted, match))
        if kind in (JPEG, PNG):
            there = instance_of(services, study, series, uid)
            return pictures(services, there, [_whole(arguments, "frameNumber", 1)], _picture(arguments, kind))
    raise NotAcceptable


def _picture(arguments: Mapping[str, str], kind: str) -> Picture:
    center, width = arguments.get("windowCenter"), arguments.get("windowWidth")
    if (center is None) != (width is None):
        raise IdentifierInvalid("windowCenter and windowWidth belong together")
    window = None
    if center is not None and width is not None:
        values = numbers(f"{center},{width}", "windowCenter and windowWidth")
        if len(values) != 2 or values[0] is None or values[1] is None:
            raise IdentifierInvalid("windowCenter and windowWidth must be a number each")
        window = Window(values[0], values[1])
    viewport = None
    if "rows" in arguments or "columns" in arguments:
        far = LARGEST_SIDE
        viewport = Viewport(_whole(arguments, "columns", far), _whole(arguments, "rows", far))
    return Picture(kind, window, viewport, quality_of(arguments, "imageQuality"))


def _whole(arguments: Mapping[str, str], name: str, otherwise: int) -> int:
    text = arguments.get(name, str(otherwise))
    if not text.isdecimal() or int(text) < 1:
        raise IdentifierInvalid(f"{name} must be a whole number from 1")
    return int(text)
