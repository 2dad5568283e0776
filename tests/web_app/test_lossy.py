"""What is lossy is called so: marks, what was promised and reached, why another profile was applied."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from dicomnn.dicom.mark import lettered
from tests.web_app.conftest import Site, Visitor
from tests.web_app.test_studies import files, study_of


@pytest.fixture
def visitor(site: Site) -> Visitor:
    return site.visitor()


def has_mark(png: bytes, words: str) -> bool:
    picture = np.asarray(imagecodecs.png_decode(png))
    box = lettered(words.upper()) * 255
    scale = max(1, min(picture.shape[:2]) // 256)
    box = box.repeat(scale, 0).repeat(scale, 1)
    corner = picture[-box.shape[0]:, -box.shape[1]:]
    return np.array_equal(corner if corner.ndim == 2 else corner[..., 0], box)


def test_pictures_of_a_lossy_object_are_marked_and_its_values_are_not(
    site: Site, visitor: Visitor, sample_data: Path
) -> None:
    study = study_of(visitor, *files(sample_data, "dx_chest"), profile="bounded:4")
    site.code_all()
    (one,) = site.archive.index.instances(study=study)
    at = f"/studies/{study}/instances/{one.sop_instance_uid}"
    loss = visitor.get(f"{at}/image.json").json["loss"]  # type: ignore[index]
    assert loss.startswith("lossy ") and loss.endswith(":1")
    assert has_mark(visitor.get(f"{at}/kept/1/decoded.png").data, loss)
    assert not has_mark(visitor.get(f"{at}/kept/1/original.png").data, loss)
    exact = visitor.get(f"{at}/frames/1.png")
    assert f"-{loss.replace(' ', '-').replace(':', '-')}.png" in exact.headers["Content-Disposition"]
    values = np.frombuffer(visitor.get(f"{at}/frames/1.bin").data, "<u2")
    assert np.array_equal(np.asarray(imagecodecs.png_decode(exact.data)).ravel(), values)


def test_what_came_exact_has_no_mark(site: Site, visitor: Visitor, ct: bytes) -> None:
    study = study_of(visitor, ("a.dcm", ct))
    site.code_all()
    (one,) = site.archive.index.instances(study=study)
    assert visitor.get(f"/studies/{study}/instances/{one.sop_instance_uid}/image.json").json["loss"] == ""  # type: ignore[index]
