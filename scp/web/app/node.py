"""The node's page: backlog, throughput, disk, saved space, failures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, g, render_template

from dicomnn.flow import overview
from scp.web.guard import READ

if TYPE_CHECKING:
    from scp.web.app import Walks


def add(pages: Blueprint, walks: Walks) -> None:
    archive = walks.services.archive

    @pages.get("/node")
    def node() -> str:
        g.caller.must(READ)
        figures = overview.node_figures(archive)
        return render_template(
            "node.html",
            figures=figures,
            reasons=overview.reasons(figures["kept"]),
            failures=overview.failures(archive),
        )

    @pages.get("/node.json")
    def node_figures() -> dict[str, Any]:
        g.caller.must(READ)
        return overview.node_figures(archive)
