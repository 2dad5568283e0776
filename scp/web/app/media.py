"""Frames for the viewer, and everything that can be downloaded."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from flask import Blueprint, Response, g, make_response, request

from dicomnn.errors import DicomnnError, InstanceNotFound
from dicomnn.flow import tile_codes, viewing
from dicomnn.flow.frames import tag_of
from dicomnn.flow.retrieve import Match, Outgoing, Query
from dicomnn.report.html import render
from scp.web.guard import READ

if TYPE_CHECKING:
    from scp.web.app import Walks

CHUNK = 1 << 18
KEEP_SECONDS = 3600  # a browser's copy of a frame; it goes with the sign-out (Clear-Site-Data)


def add(pages: Blueprint, walks: Walks) -> None:
    archive, frames, retrieval = walks.services.archive, walks.frames, walks.services.retrieval

    def instance_of(study: str, uid: str) -> Any:
        g.caller.must(READ)
        return frames.find(study, "", uid)

    @pages.get("/studies/<study>/instances/<uid>/image.json")
    def image(study: str, uid: str) -> dict[str, Any]:
        g.deed = ("look at images", study, "")
        return viewing.describe(frames, instance_of(study, uid))

    @pages.get("/studies/<study>/instances/<uid>/frames/<int:number>.bin")
    def frame(study: str, uid: str, number: int) -> Response:
        g.deed = ("look at images", study, "")
        instance = instance_of(study, uid)
        etag = f'"{tag_of(instance)}-{number}"'
        if etag in request.headers.get("If-None-Match", ""):
            return _cached(Response(status=304), etag)
        found = viewing.values(frames, instance, number)
        response = Response(found.data, mimetype="application/octet-stream")
        response.headers["X-Kind"] = found.kind
        response.headers["X-Rows"], response.headers["X-Columns"] = str(found.rows), str(found.columns)
        return _cached(response, etag)

    @pages.get("/studies/<study>/instances/<uid>/frames/<int:number>.png")
    def png(study: str, uid: str, number: int) -> Response:
        g.deed = ("download picture", study, f"{uid} frame {number}")
        instance = instance_of(study, uid)
        found = viewing.exact_png(viewing.values(frames, instance, number))
        loss = viewing.loss_of(frames, instance).replace(":", "-").replace(",", "").replace(" ", "-")
        name = f"{uid}-{number}-{loss}.png" if loss else f"{uid}-{number}.png"
        return _named(Response(found, mimetype="image/png"), name)

    @pages.get("/studies/<study>/instances/<uid>/kept/<int:number>/<which>.png")
    def kept(study: str, uid: str, number: int, which: str) -> Response:
        found = viewing.kept_picture(frames, instance_of(study, uid), number, which)
        if found is None:
            raise InstanceNotFound("no such picture was kept", cure="Choose another frame.")
        return Response(found, mimetype="image/png")

    @pages.get("/studies/<study>/instances/<uid>/measures.json")
    def measures(study: str, uid: str) -> dict[str, Any]:
        return viewing.frame_measures(archive, instance_of(study, uid))

    @pages.get("/studies/<study>/instances/<uid>/codes/<int:number>.json")
    def codes(study: str, uid: str, number: int) -> dict[str, Any]:
        return tile_codes.of_frame(archive, instance_of(study, uid), number)

    # ------------------------------------------------------------------ downloads
    @pages.get("/studies/<study>/instances/<uid>/restored.dcm")
    def restored(study: str, uid: str) -> Response:
        g.deed = ("download restored", study, uid)
        instance = instance_of(study, uid)
        return _sent(
            retrieval.prepare(Match(instance.sop_instance_uid, instance.sop_class_uid), None), f"{uid}.dcm"
        )

    @pages.get("/studies/<study>/instances/<uid>/stored.dcm")
    def stored(study: str, uid: str) -> Response:
        g.deed = ("download stored", study, uid)
        instance_of(study, uid)
        instance, source = archive.open_current(uid)
        response = Response(_pieces(source), mimetype="application/dicom")
        response.headers["Content-Length"] = str(instance.object_size)
        return _named(response, f"{uid}.stored.dcm")

    @pages.get("/studies/<study>/report.html")
    def report_html(study: str) -> Response:
        from scp.web.app import REPORT_POLICY

        g.caller.must(READ)
        g.deed = ("read report", study, "")
        response = make_response(render(viewing.report_of(archive, study, pictures=True)))
        response.headers["Content-Security-Policy"] = REPORT_POLICY
        return response

    @pages.get("/studies/<study>/report.json")
    def report_json(study: str) -> Response:
        g.caller.must(READ)
        g.deed = ("read report", study, "")
        told = json.dumps(viewing.report_of(archive, study).to_json(), ensure_ascii=False, indent=1)
        return _named(Response(told, mimetype="application/json"), f"{study}.report.json")

    @pages.get("/studies/<study>/all.zip")
    def everything(study: str) -> Response:
        g.caller.must(READ)
        g.deed = ("download study", study, "")
        matches = retrieval.matches(Query("STUDY", study_uids=(study,)))
        if not matches:
            raise InstanceNotFound("the archive has no study with this UID", cure="Go back to the list.")

        def given() -> Iterator[tuple[str, Outgoing | str]]:
            for number, match in enumerate(matches, 1):
                try:
                    yield f"{number:06d}.dcm", retrieval.prepare(match, None)
                except DicomnnError as error:  # the others are whole; this one says why it is not there
                    yield f"{number:06d}.missing.txt", error.sentence() + "\n"

        return _named(Response(zipped(given()), mimetype="application/zip"), f"{study}.zip")


# ---------------------------------------------------------------------- answers
def _cached(response: Response, etag: str) -> Response:
    response.headers["ETag"] = etag
    response.headers["Cache-Control"] = f"private, max-age={KEEP_SECONDS}"
    return response


def _named(response: Response, name: str) -> Response:
    plain = "".join(c if c.isascii() and (c.isalnum() or c in ".-_") else "_" for c in name)
    response.headers["Content-Disposition"] = f'attachment; filename="{plain}"'
    return response


def _sent(outgoing: Outgoing, name: str) -> Response:
    def pieces() -> Iterator[bytes]:
        with outgoing:
            yield outgoing.prefix
            while piece := outgoing.source.read(CHUNK):
                yield piece

    response = Response(pieces(), mimetype="application/dicom")
    response.headers["Content-Length"] = str(len(outgoing.prefix) + outgoing.size)
    response.call_on_close(outgoing.close)
    return _named(response, name)


def _pieces(source: BinaryIO) -> Iterator[bytes]:
    with source:
        while piece := source.read(CHUNK):
            yield piece


class _Sink:
    """What a ZIP is written to: a file that cannot be wound back, taken away piece by piece."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def zipped(files: Iterator[tuple[str, Outgoing | str]]) -> Iterator[bytes]:
    """A ZIP of them, never more than a piece of it in memory. Nothing is deflated: it is small already, or
    was asked for as it is."""
    sink = _Sink()
    with zipfile.ZipFile(cast(IO[bytes], sink), "w", zipfile.ZIP_STORED) as archive:
        for name, content in files:
            if isinstance(content, str):
                archive.writestr(zipfile.ZipInfo(name), content)
                continue
            with content, archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as target:
                target.write(content.prefix)
                while piece := content.source.read(CHUNK):
                    target.write(piece)
                    yield sink.taken()
            yield sink.taken()
    yield sink.taken()
