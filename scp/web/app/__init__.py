"""The application at /: pages for people. Handlers ask the walks in `dicomnn.flow` and show what these say.

No page has inline script or style, nothing is loaded from elsewhere, and every text from a data set passes
the templates' escaping.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from flask import (
    Blueprint,
    Flask,
    Response,
    g,
    make_response,
    redirect,
    render_template,
    request,
    send_from_directory,
)
from werkzeug.exceptions import HTTPException

from dicomnn.errors import DicomnnError
from dicomnn.flow.accounts import Accounts
from dicomnn.flow.frames import Frames
from dicomnn.flow.upload import Desk
from dicomnn.version import library_version
from scp.web.app import words
from scp.web.guard import Refused
from scp.web.services import Services

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "frame-ancestors 'none'; sandbox"
)
_STATUS = {
    "instance-not-found": 404,
    "not-found": 404,
    "usage": 400,
    "configuration": 400,
    "identifier-invalid": 400,
    "store-full": 507,
    "wrong-password": 401,
}


@dataclass(frozen=True)
class Walks:
    """What the handlers use."""

    services: Services
    accounts: Accounts
    frames: Frames
    desk: Desk


def register(app: Flask, services: Services, accounts: Accounts) -> None:
    """Add the pages' routes."""
    from scp.web.app import media, node, people, seed, sign, studies, uploads

    walks = Walks(services, accounts, services.frames, Desk(services.ingest))
    pages = Blueprint("pages", __name__)
    for part in (sign, uploads, studies, media, seed, node, people):
        part.add(pages, walks)

    @pages.get("/static/<path:name>")
    def asset(name: str) -> Response:
        response = send_from_directory(f"{__path__[0]}/static", name, max_age=3600)
        return response

    @pages.get("/healthy")
    def healthy() -> Response:
        return Response("ok\n", mimetype="text/plain")

    @pages.get("/")
    def start() -> Response:
        return make_response(redirect("/studies"))

    @app.after_request
    def careful(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers.setdefault("Referrer-Policy", "same-origin")
        response.headers.setdefault("X-Frame-Options", "DENY")
        response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
        response.headers.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
        if request.endpoint != "pages.asset":
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    @app.context_processor
    def everywhere() -> dict[str, object]:
        caller = g.get("caller")
        return {
            "caller": caller,
            "version": library_version(),
            "now": time.time(),
            "open_node": bool(caller and caller.rights and not caller.name),
            "ae_title": services.ae_title,
        }

    app.jinja_env.filters.update(words.FILTERS)
    app.register_error_handler(DicomnnError, failed)
    app.register_error_handler(HTTPException, refused_by_flask)
    app.register_blueprint(pages)


# ---------------------------------------------------------------------- what goes wrong
def _asks_for_data() -> bool:
    return request.path.endswith((".json", ".bin", ".png")) or request.headers.get("X-Form-Key") is not None


def problem(status: int, title: str, sentence: str, cure: str = "") -> Response:
    """A page, or JSON for our own scripts, that says what went wrong and what to do."""
    if _asks_for_data():
        response = make_response({"error": sentence, "cure": cure}, status)
    else:
        response = make_response(
            render_template("problem.html", status=status, title=title, sentence=sentence, cure=cure), status
        )
    return response


def refused(error: Refused) -> Response:
    """What the guard did not let in."""
    if error.status == 401 and not _asks_for_data() and request.method == "GET":
        return make_response(redirect(f"/sign-in?{words.query(next=request.full_path.rstrip('?'))}"))
    titles = {401: "Please sign in", 403: "Not allowed", 429: "Please wait"}
    cures = {401: "Sign in and try again.", 403: "Ask an administrator if you need this.", 429: ""}
    response = problem(
        error.status, titles.get(error.status, "Refused"), error.sentence, cures.get(error.status, "")
    )
    if error.retry_after:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def failed(error: DicomnnError) -> Response:
    """An error of the walks."""
    status = _STATUS.get(error.code, 422)
    title = "Not found" if status == 404 else "That did not work"
    return problem(status, title, str(error), error.cure)


def refused_by_flask(error: HTTPException) -> Response:
    """No such page, a body that is too large, and the like."""
    code = error.code or 500
    if request.path.startswith("/dicom-web"):
        return Response(f"{error.name}\n", code, mimetype="text/plain")
    told = {
        404: ("There is nothing at this address.", "Go back to the list of studies."),
        405: ("This address does not take that kind of request.", "Go back to the list of studies."),
        413: (
            "The file is larger than this node takes in one piece.",
            "Ask the administrator to raise max_upload in [web], or send it over DICOM.",
        ),
    }
    sentence, cure = told.get(code, (error.description or error.name, ""))
    return problem(code, error.name, sentence, cure)
