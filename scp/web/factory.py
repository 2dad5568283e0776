"""The Flask application: guard in front, DICOMweb at /dicom-web, the pages at /."""

from __future__ import annotations

from flask import Flask, Response, g, request

from dicomnn.flow.accounts import Accounts
from scp.web import app as pages
from scp.web import dicomweb
from scp.web.audit import Audit
from scp.web.guard import Guard, Refused
from scp.web.services import Services

DICOMWEB = "/dicom-web"


def create_app(services: Services) -> Flask:
    """The application over these services. It starts nothing and opens nothing."""
    app = Flask("scp.web", static_folder=None, template_folder="app/templates")
    app.config["MAX_CONTENT_LENGTH"] = services.limits.max_upload
    accounts = Accounts(services.archive)
    guard, audit = Guard(accounts), Audit(accounts)

    @app.before_request
    def let_in() -> None:
        g.caller = guard.admit(request)

    @app.after_request
    def no_guessing(response: Response) -> Response:
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        if response.status_code == 401 and request.path.startswith(DICOMWEB):
            response.headers["WWW-Authenticate"] = 'Bearer realm="dicomnn", Basic realm="dicomnn"'
        audit.note(request, response)
        return response

    @app.errorhandler(Refused)
    def refused(error: Refused) -> Response:
        if not request.path.startswith(DICOMWEB):
            return pages.refused(error)
        response = Response(error.sentence + "\n", error.status, mimetype="text/plain")
        if error.retry_after:
            response.headers["Retry-After"] = str(error.retry_after)
        return response

    app.register_blueprint(dicomweb.blueprint(services))
    pages.register(app, services, accounts)
    return app
