"""Uploading: the page, what begins an upload, each of its files, and how far it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, g, make_response, render_template, request

from dicomnn.errors import UsageError
from dicomnn.flow.overview import progress as progress_of
from dicomnn.flow.upload import Person
from scp.web.app.words import FIGURES, PROFILES, caps, chosen
from scp.web.guard import STORE, Refused

if TYPE_CHECKING:
    from scp.web.app import Walks

CHUNK = 1 << 18
MOST_ITEMS = 200  # failures that one answer lists; the counts are of all


def add(pages: Blueprint, walks: Walks) -> None:
    desk, archive = walks.desk, walks.services.archive

    @pages.get("/upload")
    def upload() -> str:
        g.caller.must(STORE)
        return render_template(
            "upload.html",
            profiles=PROFILES,
            figures=FIGURES,
            caps=caps(walks.services.caps),
            usual=walks.services.ingest.policy.profile,
            largest=walks.services.limits.max_upload,
        )

    @pages.post("/uploads")
    def begin() -> Response:
        g.caller.must(STORE)
        told = request.get_json(silent=True) or {}
        person = Person(**{name: str(told.get(name) or "").strip() for name in Person.__dataclass_fields__})
        if told.get("pictures") and person.problem():
            raise UsageError(person.problem(), cure="Fill in the fields for pictures.")
        made = desk.begin(g.caller.who, g.caller.address, chosen(told, "lossless"), person)
        g.deed = ("begin upload", "", f"upload {made.id}, profile {made.profile}")
        return make_response({"id": made.id}, 201)

    @pages.post("/uploads/<upload_id>/files")
    def take(upload_id: str) -> dict[str, Any]:
        g.caller.must(STORE)
        if desk.get(upload_id).who != g.caller.who:
            raise Refused(403, "this upload was begun by somebody else")
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise UsageError("a compressed body is not taken", cure="Send the file as it is.")
        name = request.args.get("name", "")[-300:] or "unnamed"
        items = desk.take(upload_id, name, _body())
        counts = {
            word: sum(item.outcome == word for item in items)
            for word in ("arrived", "same", "skipped", "failed")
        }
        studies = sorted({item.study for item in items if item.study})
        g.deed = (
            "upload",
            studies[0] if len(studies) == 1 else "",
            f"upload {upload_id}: " + ", ".join(f"{count} {word}" for word, count in counts.items() if count),
        )
        told = [asdict(item) for item in items if item.message][:MOST_ITEMS]
        return {"counts": counts, "items": told, "studies": studies}

    @pages.get("/uploads/<upload_id>.json")
    def progress(upload_id: str) -> dict[str, Any]:
        g.caller.must(STORE)
        return progress_of(archive, desk.get(upload_id))


def _body() -> Iterator[bytes]:
    while piece := request.stream.read(CHUNK):
        yield piece
