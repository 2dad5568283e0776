"""The private block after a trip through other archives: found, or its damage named precisely."""

from __future__ import annotations

import io
import struct

import pydicom
import pytest

from dicomnn.dicom.scan import scan
from dicomnn.dicom.splice import find_block
from dicomnn.errors import NotCoded, PrivateBlockDamaged
from tests.dicom.made import BIG, EXPLICIT, IMPLICIT, NATIVE, Writer, header_elements, image, part10
from tests.dicom.test_splice import MANIFEST, own, stored


def travelled(
    syntax: str,
    group: int = 0x7FE1,
    block: int = 0x10,
    *,
    un: bool = False,
    creator: bytes = b"DICOMNN ",
    payload: bytes = b"payload\0",
    leave_out: int | None = None,
    twice: int | None = None,
    empty: int | None = None,
    creator_vr: str = "LO",
    trailing: bytes = b"",
) -> bytes:
    """An object as another archive may give it back."""
    writer = Writer.of(syntax)
    values = {0x01: ("OB", payload), 0x02: ("UT", MANIFEST + b"  ")}
    if trailing:
        values[0x03] = ("OB", trailing)
    dataset = b"".join(header_elements(writer).values())
    dataset += writer.element(group << 16 | block, creator_vr, creator)
    for low, (vr, value) in values.items():
        element = writer.element(
            group << 16 | block << 8 | low, "UN" if un else vr, b"" if low == empty else value
        )
        dataset += b"" if low == leave_out else element * (2 if low == twice else 1)
    return part10(syntax, dataset + writer.element(0xFFFCFFFC, "OB", b"\0\0"))


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize(
    "group, block", [(0x7FE1, 0x10), (0x7FE1, 0x11), (0x7FE1, 0xFF), (0x0009, 0x42), (0x7FE5, 0x10)]
)
@pytest.mark.parametrize("un", [False, True], ids=["vr", "un"])
def test_a_renumbered_block_is_found_by_its_creator_in_any_syntax_and_vr(
    syntax: str, group: int, block: int, un: bool
) -> None:
    raw = travelled(syntax, group, block, un=un, creator_vr="UN" if un else "LO", trailing=b"tail")
    found = find_block(raw, scan(raw))
    assert (found.group, bytes(found.payload), bytes(found.trailing)) == (group, b"payload\0", b"tail")
    assert found.manifest == MANIFEST
    removed = b"".join(raw[start:end] for start, end in found.positions)
    assert len(removed) + len(raw.replace(b"DICOMNN ", b"")) >= len(raw) and b"DICOMNN" in removed


@pytest.mark.parametrize("creator", [b"DICOMNN", b"DICOMNN\0", b"DICOMNN   "])
def test_the_padding_of_the_creator_does_not_matter(creator: bytes) -> None:
    raw = travelled(EXPLICIT, creator=creator)
    assert find_block(raw, scan(raw)).manifest == MANIFEST


@pytest.mark.parametrize("source", NATIVE)
@pytest.mark.parametrize("target", [IMPLICIT, EXPLICIT])
def test_a_block_transcoded_by_another_toolkit_is_found_with_the_same_values(
    source: str, target: str
) -> None:
    dataset = pydicom.dcmread(io.BytesIO(stored(image(source), payload=b"odd payload", trailing=b"xyz")))
    dataset.file_meta.TransferSyntaxUID = target
    out = io.BytesIO()
    pydicom.dcmwrite(
        out, dataset, implicit_vr=target == IMPLICIT, little_endian=True, enforce_file_format=True
    )
    found = find_block(out.getvalue(), scan(out.getvalue()))
    assert bytes(found.payload) == b"odd payload\0" and found.manifest == MANIFEST
    assert bytes(found.trailing)[:3] == b"xyz"


def test_group_lengths_that_an_archive_added_go_with_the_block() -> None:
    raw = stored(image(EXPLICIT))
    layout = scan(raw)
    start = find_block(raw, layout).positions[0][0]
    with_length = raw[:start] + Writer().element(0x7FE10000, "UL", 1234) + raw[start:]
    positions = find_block(with_length, scan(with_length)).positions
    assert (
        positions[0][0] == start and sum(end - begin for begin, end in positions) == len(with_length) - start
    )


def test_a_foreign_element_in_our_group_stays_when_the_block_goes() -> None:
    raw = travelled(EXPLICIT, block=0x11)
    creator = raw.index(Writer().tag(0x7FE10011))
    raw = raw[:creator] + Writer().element(0x7FE10010, "LO", "OTHERS") + raw[creator:]
    layout = scan(raw)
    kept = [e for e in layout.elements if (e.start, e.end) not in find_block(raw, layout).positions]
    assert 0x7FE10010 in {element.tag for element in kept}


@pytest.mark.parametrize(
    "low, name",
    [
        (1, r"payload \(7FE1,1001\)"),
        (2, r"manifest \(7FE1,1002\)"),
    ],
)
def test_a_missing_doubled_or_empty_element_is_named_with_what_to_do(low: int, name: str) -> None:
    for change, words in (("leave_out", "lacks its"), ("twice", "stands 2 times"), ("empty", "is empty")):
        raw = travelled(EXPLICIT, **{change: low})  # type: ignore[arg-type]
        with pytest.raises(PrivateBlockDamaged, match=name) as caught:
            find_block(raw, scan(raw))
        assert words in str(caught.value) and "What to do: Fetch the object again" in caught.value.sentence()


def test_a_payload_cut_off_says_how_much_of_it_is_there() -> None:
    raw = travelled(EXPLICIT, payload=b"p" * 500)
    cut_off = raw[: raw.index(b"p" * 500) + 100]
    with pytest.raises(PrivateBlockDamaged, match=r"payload \(7FE1,1001\) is cut off: 100 of its 500 bytes"):
        find_block(cut_off, scan(cut_off))


def test_a_file_cut_behind_the_payload_says_that_the_file_ends_early() -> None:
    raw = travelled(EXPLICIT)
    cut_off = raw[: raw.index(MANIFEST) + 5]
    with pytest.raises(PrivateBlockDamaged, match=r"manifest \(7FE1,1002\) is cut off: 5 of its"):
        find_block(cut_off, scan(cut_off))


def test_a_block_whose_creator_was_dropped_is_damage_and_not_an_ordinary_file() -> None:
    raw = travelled(EXPLICIT, creator=b"SOMEBODY")
    with pytest.raises(PrivateBlockDamaged, match=r"creator element \(7FE1,0010\)"):
        find_block(raw, scan(raw))


def test_two_whole_blocks_are_refused_and_an_empty_second_creator_is_passed_over() -> None:
    raw = travelled(EXPLICIT)
    end = raw.index(Writer().tag(0xFFFCFFFC))
    begin = raw.index(Writer().tag(0x7FE10010))
    second = raw[begin:end].replace(struct.pack("<H", 0x7FE1), struct.pack("<H", 0x7FE3))
    with pytest.raises(PrivateBlockDamaged, match="which block counts"):
        find_block(raw[:end] + second + raw[end:], scan(raw[:end] + second + raw[end:]))
    lonely = raw[:end] + Writer().element(0x7FE30010, "LO", "DICOMNN") + raw[end:]
    assert find_block(lonely, scan(lonely)).group == 0x7FE1


def test_json_of_another_vendor_in_a_private_group_is_no_damaged_block() -> None:
    writer = Writer()
    theirs = writer.element(0x7FE30010, "LO", "OTHERS")
    theirs += writer.element(0x7FE31002, "UT", b'{"v":2,"c":"01234567","d":"dataset_digest"}')
    raw = image(EXPLICIT, after=theirs)
    with pytest.raises(NotCoded):
        find_block(raw, scan(raw))


@pytest.mark.parametrize("syntax", [IMPLICIT, BIG])
def test_an_ordinary_file_is_not_coded(syntax: str) -> None:
    raw = image(syntax, after=own(Writer.of(syntax), 0x7FE1))
    with pytest.raises(NotCoded):
        find_block(raw, scan(raw))
