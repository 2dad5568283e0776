"""The pages over an archive in a temporary folder, with Flask's client in the browser's place."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from dicomnn.flow.accounts import Accounts
from dicomnn.flow.code import Coder
from dicomnn.flow.ingest import Ingest, Policy
from dicomnn.flow.opening import Archive, Place, open_archive
from dicomnn.flow.query import Search
from dicomnn.flow.retrieve import Retrieval
from scp.web.factory import create_app
from scp.web.services import Services

PASSWORD = "seven green lamps"
PERSON = {"patient_name": "Doe^Jane", "patient_id": "P1"}


@dataclass
class Site:
    """The application, and the archive below it."""

    archive: Archive
    app: Flask
    services: Services

    @property
    def accounts(self) -> Accounts:
        return Accounts(self.archive)

    def visitor(self, address: str = "127.0.0.1") -> Visitor:
        client = self.app.test_client()
        client.environ_base["REMOTE_ADDR"] = address
        return Visitor(client)

    def signed_in(self, role: str, name: str = "") -> Visitor:
        """A browser of a user with this role; the first user is an administrator in any case."""
        if not self.accounts.any():
            self.accounts.add("root", "administrator", PASSWORD, by="test")
        name = name or f"one-{role}"
        if name not in [user.name for user in self.accounts.users()]:
            self.accounts.add(name, role, PASSWORD, by="test")
        visitor = self.visitor()
        assert visitor.sign_in(name).status_code == 303
        return visitor

    def code_all(self) -> None:
        coder = Coder(self.archive, effort="fast")
        while works := self.archive.index.lease("test", 60.0) or self.archive.index.lease_again("test", 60.0):
            for work in works:
                coder.code(work)
        self.archive.release_due()


@dataclass
class Visitor:
    """A browser without scripts."""

    client: FlaskClient

    def get(self, url: str, **more: Any) -> TestResponse:
        return self.client.get(url, **more)

    def sign_in(self, name: str, password: str = PASSWORD) -> TestResponse:
        return self.client.post("/sign-in", data={"name": name, "password": password})

    @property
    def key(self) -> str:
        found = re.search(r'name="form-key" content="([^"]+)"', self.get("/studies").text)
        return found[1] if found else ""

    def post(self, url: str, key: str | None = None, **fields: str) -> TestResponse:
        return self.client.post(url, data={"form_key": self.key if key is None else key, **fields})

    def begin(self, profile: str = "lossless", **person: str) -> str:
        answer = self.client.post(
            "/uploads", json={"profile": profile, **person}, headers={"X-Form-Key": self.key}
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json["id"])  # type: ignore[index]

    def send(self, upload: str, name: str, data: bytes, **headers: str) -> TestResponse:
        return self.client.post(
            f"/uploads/{upload}/files",
            query_string={"name": name},
            data=data,
            headers={"X-Form-Key": self.key, "Content-Type": "application/octet-stream", **headers},
        )

    def upload(
        self, *files: tuple[str, bytes], profile: str = "lossless", **person: str
    ) -> list[dict[str, Any]]:
        """Each file's answer, in one upload."""
        made = self.begin(profile, **person)
        answers = [self.send(made, name, data) for name, data in files]
        assert [answer.status_code for answer in answers] == [200] * len(answers), answers[-1].text
        return [answer.json for answer in answers]  # type: ignore[misc]


def small(sample_data: Path, name: str, **changes: Any) -> tuple[str, bytes]:
    """A part of a made image, large enough to be compressed and quick to be."""
    dataset = pydicom.dcmread(sorted((sample_data / name).glob("*.dcm"))[0])
    across = slice(dataset.Columns // 4, dataset.Columns // 4 + 96)
    pixels = dataset.pixel_array[..., across, across]
    dataset.Rows, dataset.Columns, dataset.PixelData = *pixels.shape[-2:], pixels.tobytes()
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    target = io.BytesIO()
    dataset.save_as(target)
    return "small.dcm", target.getvalue()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    archive = open_archive(Place(str(tmp_path / "archive")))
    services = Services(archive, Ingest(archive, Policy()), Search(archive), Retrieval(archive))
    yield Site(archive, create_app(services), services)
    services.close()
    archive.close()


@pytest.fixture
def ct(sample_data: Path) -> bytes:
    return (sample_data / "ct_thorax" / "ct_01.dcm").read_bytes()


@pytest.fixture
def packed() -> Callable[..., bytes]:
    """packed({name: bytes}) is a ZIP."""

    def make(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", method) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return target.getvalue()

    return make
