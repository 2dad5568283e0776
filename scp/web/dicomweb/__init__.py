"""DICOMweb (PS3.18): QIDO-RS, WADO-RS, STOW-RS and WADO-URI over the archive."""

from __future__ import annotations

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from dicomnn.errors import DicomnnError
from scp.web.dicomweb import frames, qido, rendered, stow, uri, wado
from scp.web.dicomweb.answers import NotAcceptable, failed, refusal
from scp.web.dicomweb.resources import PREFIX
from scp.web.guard import Refused
from scp.web.services import Services

_EXPOSED = "Content-Type, Content-Location, ETag, Warning"


def blueprint(services: Services) -> Blueprint:
    """The routes below /dicom-web."""
    made = Blueprint("dicomweb", __name__, url_prefix=PREFIX)
    for room in (qido, wado, frames, rendered, stow, uri):
        room.add_routes(made, services)

    @made.before_request
    def somebody_is_coming() -> None:
        services.frames.warm_soon()

    @made.errorhandler(NotAcceptable)
    def not_acceptable(_: NotAcceptable) -> Response:
        return refusal(406, "It cannot be given in any of the media types and transfer syntaxes of the "
                            "Accept header; docs/dicomweb.md lists those that there are")

    @made.errorhandler(Exception)
    def any_other(error: Exception) -> Response:
        if isinstance(error, Refused):
            return refusal(error.status, error.sentence)
        if isinstance(error, HTTPException):
            return refusal(error.code or 500, error.description or error.name)
        return failed(error)

    made.register_error_handler(DicomnnError, failed)

    @made.after_request
    def for_viewers_elsewhere(response: Response) -> Response:
        response.headers.setdefault("Cross-Origin-Resource-Policy", "cross-origin")
        origin = request.headers.get("Origin", "")
        if origin and (origin in services.origins or "*" in services.origins):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = _EXPOSED
            response.headers["Access-Control-Allow-Methods"] = "GET, POST, OPTIONS"
            response.headers["Access-Control-Allow-Headers"] = "Accept, Authorization, Content-Type"
            response.headers.add("Vary", "Origin")
        return response

    return made
