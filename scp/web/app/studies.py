"""The list of studies, and a study: what is shown of it and what can be done with it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, g, make_response, redirect, render_template, request

from dicomnn.errors import InstanceNotFound, UsageError
from dicomnn.flow import overview, redo, viewing
from scp.web.app.words import EFFORTS, FIGURES, PROFILES, caps, chosen
from scp.web.guard import MANAGE, READ, STORE

if TYPE_CHECKING:
    from scp.web.app import Walks

MODALITIES = ("CR", "CT", "DX", "MG", "MR", "NM", "OT", "PT", "RF", "US", "XA")
_DATE = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)")


def add(pages: Blueprint, walks: Walks) -> None:
    archive = walks.services.archive

    @pages.get("/studies")
    def studies() -> str:
        g.caller.must(READ)
        given = request.args
        wanted = overview.Wanted(
            given.get("q", "").strip()[:100],
            given.get("modality", "")[:16],
            _date(given.get("from", "")),
            _date(given.get("to", "")),
        )
        g.deed = ("search studies" if not wanted.nothing else "list studies", "", "")
        return render_template(
            "studies.html",
            listing=overview.studies(archive, wanted, _before(given)),
            given=given,
            modalities=MODALITIES,
            status=archive.status(),
        )

    @pages.get("/studies/states.json")
    def states() -> dict[str, Any]:
        """Figures of the studies that a list shows, for the list that refreshes itself."""
        g.caller.must(READ)
        found = {}
        for uid in request.args.getlist("uid")[:100]:
            study = archive.index.study(uid)
            if study is not None:
                found[uid] = {
                    "pending": study.pending,
                    "instances": study.instances,
                    "before": study.bytes_before,
                    "after": study.bytes_after,
                }
        return found

    @pages.get("/studies/<study>")
    def study(study: str) -> str:
        g.caller.must(READ)
        g.deed = ("open study", study, "")
        row = archive.index.study(study)
        if row is None or not row.instances:
            raise InstanceNotFound(
                "the archive has no study with this UID, or it was deleted",
                cure="Go back to the list of studies.",
            )
        report = viewing.report_of(archive, study)
        deeds = walks.accounts.deeds(20, subject=study) if MANAGE in g.caller.rights else []
        return render_template(
            "study.html",
            row=row,
            report=report,
            uploads=overview.uploads_of(archive, study),
            deeds=deeds,
            profiles=PROFILES,
            figures=FIGURES,
            caps=caps(walks.services.caps),
            groups=viewing.promises(report),
            efforts=EFFORTS,
            cannot=redo.limits(archive, study),
            statement=viewing.statement(report.totals),
        )

    @pages.get("/studies/<study>/quality")
    def quality(study: str) -> str:
        """The part of the study's page about losses, for the page that refreshes itself."""
        g.caller.must(READ)
        return render_template(
            "quality.html", groups=viewing.promises(viewing.report_of(archive, study))
        )

    @pages.get("/studies/<study>/view.json")
    def view(study: str) -> dict[str, Any]:
        g.caller.must(READ)
        return viewing.view(archive, study)

    @pages.post("/studies/<study>/again")
    def again(study: str) -> Response:
        g.caller.must(STORE)
        profile, effort = chosen(request.form), request.form.get("effort", "default")
        done = redo.compress_again(archive, study, profile=profile, effort=effort, by=g.caller.who)
        g.deed = (
            "compress again",
            study,
            f"profile {profile or 'as it is'}, effort {effort}: {done.sentence()}",
        )
        return _back(study, done.sentence())

    @pages.post("/studies/<study>/decompress")
    def decompress(study: str) -> Response:
        g.caller.must(STORE)
        done = redo.decompress(archive, study, by=g.caller.who)
        g.deed = ("decompress", study, done.sentence())
        return _back(study, done.sentence())

    @pages.post("/studies/<study>/delete")
    def delete(study: str) -> Response:
        g.caller.must(MANAGE)
        reason = request.form.get("reason", "").strip()
        if len(reason) < 3:
            raise UsageError(
                "a study is deleted with a reason that others will understand",
                cure="Write why, in a few words.",
            )
        if request.form.get("sure") != "yes":
            raise UsageError(
                "deleting needs the tick that says that you mean it", cure="Tick it and try again."
            )
        number = redo.delete(archive, study, reason=reason, by=g.caller.who)
        g.deed = ("delete", study, f"{number} objects: {reason}")
        return make_response(redirect("/studies?deleted=1", 303))


def _back(study: str, told: str) -> Response:
    from scp.web.app.words import query

    return make_response(redirect(f"/studies/{study}?{query(done=told)}", 303))


def _date(text: str) -> str:
    found = _DATE.fullmatch(text.strip())
    return "".join(found.groups()) if found else ""


def _before(given: Any) -> tuple[float, str] | None:
    try:
        touched, uid = given["before"].split(" ", 1)
        return float(touched), uid
    except (KeyError, ValueError):
        return None
