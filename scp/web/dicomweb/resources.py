"""What a path names: a study, a series or an instance."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flask import request

from dicomnn.errors import IdentifierInvalid, InstanceNotFound
from dicomnn.flow.retrieve import Match, Query
from scp.web.services import Services

if TYPE_CHECKING:
    from dicomnn.flow.frames import Instance

UID = re.compile(r"[0-9.]{1,64}")
PREFIX = "/dicom-web"


def checked(*uids: str) -> None:
    """Raises IdentifierInvalid for what is no UID."""
    for uid in uids:
        if uid and not UID.fullmatch(uid):
            raise IdentifierInvalid(f"'{uid[:80]}' is no UID")


def base() -> str:
    """Where this server is, as the client sees it; without a slash at its end."""
    return request.host_url.rstrip("/") + PREFIX


def url(study: str, series: str = "", instance: str = "") -> str:
    """The Retrieve URL of a resource."""
    found = f"{base()}/studies/{study}"
    if series:
        found += f"/series/{series}"
    return f"{found}/instances/{instance}" if instance else found


def url_of(instance: Instance) -> str:
    return url(instance.study_instance_uid, instance.series_instance_uid, instance.sop_instance_uid)


def matches(services: Services, study: str, series: str = "", instance: str = "") -> list[Match]:
    """The instances of a resource. Raises IdentifierInvalid, InstanceNotFound (there are none)."""
    checked(study, series, instance)
    level = "IMAGE" if instance else "SERIES" if series else "STUDY"
    found = services.retrieval.matches(Query(
        level, (), (study,), (series,) if series else (), (instance,) if instance else ()))
    if not found:
        raise InstanceNotFound(f"there is no such {'instance' if instance else level.lower()}",
                               subject=instance or series or study)
    return found


def instance_of(services: Services, study: str, series: str, instance: str) -> Instance:
    """The instance that a path names. Raises IdentifierInvalid, InstanceNotFound."""
    checked(study, series, instance)
    return services.frames.find(study, series, instance)
