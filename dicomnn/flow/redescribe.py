"""Read attributes again from objects that an older version indexed, so that queries find what they name now.

The index tells which instances were read by an older reader. Doing one twice is harmless, so several
processes may run this, and may be killed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dicomnn.archive.index import Instance
from dicomnn.archive.states import State
from dicomnn.coded.mapping import Mapping
from dicomnn.dicom.attributes import VERSION, read_attributes
from dicomnn.dicom.scan import scan
from dicomnn.errors import DicomError, InstanceNotFound, ObjectMissing
from dicomnn.flow.opening import Archive

PAGE = 50


def redescribe(archive: Archive, stop: Callable[[], bool] = lambda: False) -> int:
    """Until no instance is left that an older reader described, or ``stop`` says so; how many.

    Raises
    ------
    StoreFailed, IndexFailed
        Try again later; what is done stays done.
    """
    done = 0
    while not stop():
        outdated = archive.index.outdated(VERSION, PAGE)
        if not outdated:
            break
        for instance in outdated:
            archive.index.describe(instance, _attributes(archive, instance), VERSION)
            done += 1
    return done


def _attributes(archive: Archive, instance: Instance) -> dict[str, Any] | None:
    """None where the object cannot tell (deleted, missing, malformed): what is known stays."""
    if instance.state is State.DELETED:
        return None
    try:
        with archive.pin_current(instance.sop_instance_uid) as (_, path), Mapping(path) as mapping:
            return read_attributes(mapping.buffer, scan(mapping.buffer)).known()
    except (DicomError, InstanceNotFound, ObjectMissing):
        return None
