"""Data sets in the DICOM JSON Model, of the restored form, without decoding a pixel; and the bytes that these
name by a URI."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dicomnn.coded.surroundings import surroundings
from dicomnn.dicom.json_model import find, to_json
from dicomnn.dicom.json_values import Json, element
from dicomnn.errors import DicomError, InstanceNotFound
from dicomnn.flow.byte_cache import ByteCache
from dicomnn.flow.frames import own_syntax, tag_of
from dicomnn.flow.opening import Archive

if TYPE_CHECKING:
    from dicomnn.archive.index import Instance

AVAILABLE_SYNTAX = "00083002"
_IDENTITY = (("00080016", "sop_class_uid"), ("00080018", "sop_instance_uid"),
             ("0020000D", "study_instance_uid"), ("0020000E", "series_instance_uid"))


class Metadata:
    """Thread-safe. What was made is kept in ``cache``."""

    def __init__(self, archive: Archive, cache: ByteCache) -> None:
        self._archive, self._cache = archive, cache

    def text(self, instance: Instance, bulk: str) -> bytes:
        """The data set as JSON text; a value's URI is ``bulk`` and its path.

        An object that cannot be read any more, or never could, is told by its UIDs alone.

        Raises
        ------
        InstanceNotFound, ObjectMissing, StoreFailed, IndexFailed
        """
        # Its transfer syntax changes when it is coded; everything else stays.
        key = ("metadata", tag_of(instance), own_syntax(instance), bulk)
        return self._cache.once(key, lambda: json.dumps(
            self._json(instance, bulk), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))

    def json(self, instance: Instance) -> Json:
        """The same as a dictionary; URIs are bare paths, as `bulk` takes them."""
        found: Json = json.loads(self.text(instance, ""))
        return found

    def _json(self, instance: Instance, bulk: str) -> Json:
        with self._archive.pin_current(instance.sop_instance_uid) as (present, path):
            try:
                with surroundings(path) as around:
                    found = to_json(around.view, around.elements, around.encoding, lambda path: bulk + path)
            except DicomError:
                return {tag: element("UI", [getattr(present, name)]) for tag, name in _IDENTITY}
            found[AVAILABLE_SYNTAX] = element("UI", [own_syntax(present)])
            return {tag: found[tag] for tag in sorted(found)}

    def bulk(self, instance: Instance, path: str) -> tuple[str, bytes]:
        """(VR, value in little endian) of what ``path`` names; Pixel Data come frame by frame instead.

        Raises
        ------
        InstanceNotFound
            Nothing is there (its message says so).
        ObjectMissing, StoreFailed, IndexFailed, DicomError
        """
        with self._archive.pin_current(instance.sop_instance_uid) as (_, file), surroundings(file) as around:
            try:
                vr, value, _ = find(around.view, around.elements, around.encoding, path)
            except KeyError:
                value = None
            if value is None:
                raise InstanceNotFound("it has no such value", subject=instance.sop_instance_uid)
            return vr, value


def values_of(found: Json, tag: str) -> list[Any]:
    """The values of one element of a data set in JSON, [] where there are none."""
    return list(found.get(tag, {}).get("Value", ()))
