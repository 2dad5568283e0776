"""The page: safe with hostile text, without outside parts, and saying what it must."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from dicomnn.report.figures import FrameSample, draw
from dicomnn.report.html import render
from dicomnn.report.quality import Window, identical, within
from dicomnn.report.reading import number, person, size
from dicomnn.report.study import Completeness, Conflict, InstanceRow, StudyReport, build

HOSTILE = '"><script>alert(1)</script><img src=http://evil.example/x>\x00\u202e'


def make(decoded: np.ndarray | None = None, **changes: Any) -> StudyReport:
    row = InstanceRow.from_facts(
        {
            "sop_instance_uid": "1.2.3.1",
            "series_instance_uid": "1.2.3",
            "state": "coded",
            "bytes_before": 1000,
            "bytes_after": 400,
            "modality": "CT",
            "rows": 16,
            "columns": 16,
            "bits_stored": 12,
            "profile": "lossless",
            "model_id": "ab" * 16,
            "exact": "data-set",
            "payload_bytes": 100,
            "tiles": {"neural": 1},
            "quality": identical(12, "HU"),
            "sop_class_name": "CT Image Storage",
        }
        | changes
    )
    figure = draw(
        FrameSample(
            "1.2.3", "1.2.3.1", 1, "only", "CT", np.arange(256).reshape(16, 16), Window(0, 255), decoded
        )
    )
    return build(
        {"study_instance_uid": "1.2", "patient_name": "Phantom^Thora", "study_date": "20240304"},
        [row],
        completeness=Completeness(True, "2024-03-04T10:25:00Z", 60, 3, 0),
        created_at="2024-03-04T10:26:00.25+00:00",
        library_version="0.1.0",
        figures=[figure],
    )


class Tags(HTMLParser):
    VOID = ("meta", "img", "br")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.urls: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.urls += [
            value or "" for key, value in attrs if key in ("src", "href", "srcset", "action", "data")
        ]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag


def test_the_page_is_well_formed_and_needs_nothing_from_outside() -> None:
    page = render(make())
    tags = Tags(page)
    assert tags.open == [] and "script" not in tags.names and "link" not in tags.names
    assert len(tags.urls) == 3 and all(url.startswith("data:image/png;base64,") for url in tags.urls)
    assert "default-src 'none'" in page and not re.search(r"https?://|@import|url\(", page)


def test_every_text_from_a_data_set_is_escaped() -> None:
    made = make(
        **{
            key: HOSTILE
            for key in (
                "sop_class_name",
                "modality",
                "series_description",
                "profile",
                "model_id",
                "exact",
                "note",
                "sop_instance_uid",
                "series_instance_uid",
            )
        }
    )
    row = replace(
        made.series[0].instances[0],
        tiles={HOSTILE: 1},
        conflicts=(Conflict(HOSTILE, HOSTILE, HOSTILE, 1, HOSTILE),),
    )
    kept = replace(row, state="kept", reason=HOSTILE, reason_text=HOSTILE, instance_number=2)
    odd = replace(row, state=HOSTILE, quality=replace(identical(8), unit=HOSTILE, max_error_rescaled=0.0))
    study = {key: HOSTILE for key in made.study.__dataclass_fields__}
    figure = replace(made.figures[0], title=HOSTILE, role=HOSTILE)
    page = render(
        build(
            study,
            [row, kept, odd],
            completeness=Completeness(True, HOSTILE),
            created_at=HOSTILE,
            library_version=HOSTILE,
            figures=[figure],
            notes=[HOSTILE],
        )
    )
    tags = Tags(page)
    assert tags.open == [] and "script" not in tags.names and tags.names.count("img") == 3
    assert not any("evil" in url for url in tags.urls)
    assert "\x00" not in page and "\u202e" not in page
    assert page.count("&lt;script&gt;") > 20


def test_a_lossless_page_says_in_plain_words_that_nothing_differs() -> None:
    page = render(make())
    for words in (
        "bit for bit",
        "not computed",
        "follow from the digests",
        "not one of the 256 pixels",
        "No difference.",
        "100 % of pixels at 0",
        "no claim that the study is complete",
        "∞",
    ):
        assert words in page, words


def test_a_bounded_page_never_says_that_images_come_back_exactly() -> None:
    page = render(
        make(
            decoded=np.arange(256).reshape(16, 16) + 2,
            quality=within(2, 12, 1.0, "HU"),
            profile="bounded:2",
            exact="bounded",
        )
    )
    assert "Changed within a fixed bound: 1 of 1 objects" in page and "≤ 2 (2 HU)" in page
    assert "bit for bit" not in page and "No difference" not in page
    assert "amplified 127.5 times" in page


def test_the_picture_of_what_comes_back_with_loss_is_marked_with_the_ratio_of_its_data_set() -> None:
    lossy = {"promise": "ratio=8", "kind": "ratio", "value": 8.0, "outcome": "kept",
             "applied": "lossy:ratio=8", "ratio_bits_stored": 8.13}  # fmt: skip
    other = np.arange(256).reshape(16, 16) + 2
    bounded = render(make(decoded=other, exact="bounded", bits_allocated=16))
    promised = render(make(decoded=other, exact="lossy", lossy=lossy))
    assert bounded.count('<b class="mark">lossy 5.1:1</b>') == promised.count(">lossy 8.1:1</b>") == 1
    assert 'alt="reconstruction"' in promised.split(">lossy 8.1:1</b>")[0].rsplit("<img", 1)[1]
    assert 'class="mark"' not in render(make())


def test_pixels_only_exactness_is_not_sold_as_bit_for_bit() -> None:
    page = render(make(exact="pixels"))
    assert "pixel for pixel" in page and "bit for bit" not in page


def test_a_conflict_is_shown_with_both_what_and_what_to_do() -> None:
    page = render(
        make(conflicts=[{"sop_instance_uid": "1.2.3.1", "digest": "c0ffee", "calling_ae_title": "SENDER"}])
    )
    for words in ("One UID, different content", "c0ffee", "SENDER", "a UID of its own"):
        assert words in page


def test_long_series_are_cut_and_say_so() -> None:
    made = make()
    rows = [
        replace(made.series[0].instances[0], instance_number=n, sop_instance_uid=f"1.{n}") for n in range(450)
    ]
    page = render(
        build(
            {"study_instance_uid": "1"},
            rows,
            completeness=made.completeness,
            created_at="",
            library_version="",
        )
    )
    assert "50 more objects stand in the JSON file" in page and len(page) < 2_000_000


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("inf"), "∞"),
        (0.0, "0"),
        (0.00004, "4.0e-05"),
        (81.2749, "81.27"),
        (2.0, "2"),
        (100.0, "100"),
    ],
)
def test_numbers_read_well(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.00 kB"),
        (9996, "10.0 kB"),
        (123456789, "123 MB"),
        (5 * 10**15, "5000 TB"),
    ],
)
def test_sizes_read_well(count: int, text: str) -> None:
    assert size(count) == text


def test_person_names_read_well() -> None:
    assert person("Phantom^Thora^^Dr") == "Phantom, Thora Dr"
    assert person("山田^太郎=x") == "山田, 太郎" and person("") == ""
