"""DICOMweb (PS3.18): QIDO-RS, WADO-RS, STOW-RS and WADO-URI over the archive."""

from __future__ import annotations

from flask import Blueprint

from scp.web.services import Services


def blueprint(services: Services) -> Blueprint:
    """The routes below /dicom-web."""
    return Blueprint("dicomweb", __name__)
