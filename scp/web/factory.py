"""The Flask application: guard in front, DICOMweb at /dicom-web, the pages at /."""

from __future__ import annotations

from flask import Flask, Response, g, request

from scp.web import app as pages
from scp.web import dicomweb
from scp.web.guard import Refused, admit
from scp.web.services import Services


def create_app(services: Services) -> Flask:
    """The application over these services. It starts nothing and opens nothing."""
    app = Flask("scp.web", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = services.limits.max_upload

    @app.before_request
    def let_in() -> None:
        g.caller = admit(request)

    @app.after_request
    def no_guessing(response: Response) -> Response:
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        return response

    @app.errorhandler(Refused)
    def refused(error: Refused) -> Response:
        return Response(error.sentence + "\n", error.status, mimetype="text/plain")

    app.register_blueprint(dicomweb.blueprint(services), url_prefix="/dicom-web")
    pages.register(app, services)
    return app
