"""The application at /."""

from __future__ import annotations

from flask import Flask

from scp.web.services import Services


def register(app: Flask, services: Services) -> None:
    """Add the pages' routes."""

    @app.get("/")
    def start() -> str:
        return f"{services.ae_title}: DICOMweb is at /dicom-web\n"
