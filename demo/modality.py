"""A scanner and a viewer in one: sends data sets as raw bytes, fetches them as raw bytes, compares.

Neither way decodes a data set. Sending reads the file behind its File Meta piece by piece; what C-GET
brings is taken from the request as it came over the wire.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, _config, build_context, build_role, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelGet as StudyGet

_config.STORE_SEND_CHUNKED_DATASET = True     # send_c_store(path) then sends the file's own bytes

FILE_META_START = 132                         # preamble and 'DICM' (PS3.10 section 7.1)


@dataclass(frozen=True)
class Image:
    """A file of a study, and the digest of its data set (the bytes behind the File Meta)."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    size: int
    digest: str


@dataclass(frozen=True)
class Study:
    """The images of one folder."""

    title: str
    modality: str
    study_instance_uid: str
    images: tuple[Image, ...]

    @property
    def size(self) -> int:
        """Bytes of all data sets."""
        return sum(image.size for image in self.images)


class DemoFailed(Exception):
    """The node did not do what it promises; the message says what."""


def data_set_bytes(path: Path) -> bytes:
    """What stands behind the File Meta, whose length is in its first element (0002,0000)."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[FILE_META_START + 8:FILE_META_START + 12], "little")
    return raw[FILE_META_START + 12 + length:]


def read_study(folder: Path) -> Study:
    """The study whose files lie in ``folder``."""
    images, first = [], None
    for path in sorted(folder.glob("*.dcm")):
        header = dcmread(path, stop_before_pixels=True)
        first = first or header
        data = data_set_bytes(path)
        syntax = str(header.file_meta.TransferSyntaxUID)
        images.append(Image(path, str(header.SOPClassUID), str(header.SOPInstanceUID), syntax,
                            len(data), hashlib.sha256(data).hexdigest()))
    if first is None:
        raise DemoFailed(f"{folder} holds no .dcm files")
    title = str(first.get("StudyDescription") or folder.name)
    return Study(title, str(first.Modality), str(first.StudyInstanceUID), tuple(images))


@dataclass(frozen=True)
class Node:
    """Where the node listens."""

    host: str
    port: int
    ae_title: str


def _associate(node: Node, entity: AE, **arguments: object) -> Association:
    association = entity.associate(node.host, node.port, ae_title=node.ae_title, **arguments)
    if not association.is_established:
        raise DemoFailed(f"the node at {node.host}:{node.port} did not accept the association")
    return association


def send(node: Node, study: Study, sent: Callable[[Image], None]) -> None:
    """C-STORE of every image, one association for the study. Raises DemoFailed on any status but 0000."""
    pairs = sorted({(image.sop_class_uid, image.transfer_syntax_uid) for image in study.images})
    association = _associate(node, AE("SCANNER"), contexts=[build_context(*pair) for pair in pairs])
    try:
        for image in study.images:
            answer = association.send_c_store(image.path)
            if "Status" not in answer or answer.Status != 0:
                status = f"{answer.Status:04X}" if "Status" in answer else "none"
                raise DemoFailed(f"{image.path.name}: the node answered with status {status}")
            sent(image)
    finally:
        association.release()


def fetch(node: Node, study: Study, fetched: Callable[[Image | None], None]) -> dict[str, str]:
    """C-GET of a whole study: SOP Instance UID -> digest of the data set that came back.

    Each image is asked for in the transfer syntax in which it was sent, and in no other.
    """
    came: dict[str, str] = {}
    by_uid = {image.sop_instance_uid: image for image in study.images}

    def take(event: evt.Event) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        came[uid] = hashlib.sha256(event.request.DataSet.getvalue()).hexdigest()
        fetched(by_uid.get(uid))
        return 0x0000

    pairs = sorted({(image.sop_class_uid, image.transfer_syntax_uid) for image in study.images})
    contexts = [build_context(StudyGet)] + [build_context(*pair) for pair in pairs]
    roles = [build_role(uid, scp_role=True) for uid in sorted({uid for uid, _ in pairs})]
    association = _associate(node, AE("VIEWER"), contexts=contexts, ext_neg=roles,
                             evt_handlers=[(evt.EVT_C_STORE, take)])
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.StudyInstanceUID = study.study_instance_uid
    try:
        status = None
        for answer, _ in association.send_c_get(query, StudyGet):
            status = answer.get("Status")
        if status != 0x0000:
            shown = "none" if status is None else f"{status:04X}"
            raise DemoFailed(f"C-GET of '{study.title}' ended with status {shown}")
    finally:
        association.release()
    return came


def identical(study: Study, came: dict[str, str]) -> int:
    """How many images came back with exactly the bytes that were sent."""
    return sum(came.get(image.sop_instance_uid) == image.digest for image in study.images)
