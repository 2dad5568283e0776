"""Cut, insert and back: the same bytes, whatever else the file holds."""

from __future__ import annotations

import pydicom
import pytest

from dicomnn.dicom.scan import Buffer, scan
from dicomnn.dicom.splice import (
    around,
    choose_group,
    cut,
    find_block,
    insert,
    private_block,
    with_meta_uid,
    with_transfer_syntax,
)
from dicomnn.errors import DataSetMalformed
from tests.dicom.made import BIG, EXPLICIT, NATIVE, Writer, image

MANIFEST = b'{"v":2,"c":"01234567","d":"' + b"A" * 43 + b'","t":1}'


def stored(
    raw: Buffer, payload: bytes = b"payload", trailing: bytes = b"", manifest: bytes = MANIFEST
) -> bytes:
    """`raw` with its Pixel Data replaced by a private block."""
    layout = scan(raw)
    pieces = cut(raw, layout)
    group, offset = choose_group(layout)
    before, after = private_block(
        group,
        payload_length=len(payload),
        manifest=manifest,
        trailing=trailing,
        explicit=layout.explicit,
        little_endian=layout.little_endian,
    )
    return b"".join(insert(pieces, before, [payload], after, offset=offset))


def back(raw: bytes, pixel_data: bytes) -> bytes:
    """The inverse, given the Pixel Data element."""
    layout = scan(raw)
    block = find_block(raw, layout)
    before, behind = around(raw, layout, block)
    return b"".join([*before, pixel_data, *behind])


def element(raw: Buffer) -> bytes:
    """The Pixel Data element of `raw`."""
    pieces = cut(raw, scan(raw))
    return pieces.element_header + bytes(pieces.value)


def own(writer: Writer, *groups: int) -> bytes:
    return b"".join(
        writer.element(group << 16 | 0x0010, "LO", "SOMEBODY")
        + writer.element(group << 16 | 0x1001, "LO", "theirs")
        for group in groups
    )


@pytest.mark.parametrize("syntax", NATIVE)
@pytest.mark.parametrize(
    "groups, expected",
    [
        ((), 0x7FE1),
        ((0x7FE1,), 0x7FE3),
        ((0x7FE1, 0x7FE3), 0x7FE5),
        ((0x7FE3,), 0x7FE1),
        ((0x7FE1, 0x7FE5), 0x7FE7),
    ],
)
def test_the_block_takes_the_next_free_odd_group_and_the_way_back_is_byte_identical(
    syntax: str, groups: tuple[int, ...], expected: int
) -> None:
    writer = Writer.of(syntax)
    after = own(writer, *groups) + writer.element(0xFFFCFFFC, "OB", b"\0" * 6)
    raw = image(syntax, pixels=bytes(range(51)), after=after)  # an odd length too
    assert choose_group(scan(raw))[0] == expected
    there = stored(raw)
    layout = scan(there)
    tags = [element.tag for element in layout.elements]
    assert layout.pixel_data is None and layout.broken is None
    assert tags == sorted(tags), "elements must stay in ascending order"
    assert find_block(there, layout).group == expected
    assert back(there, element(raw)) == raw


@pytest.mark.parametrize("tail", [b"\0" * 32, b"garbage after the data set"])
@pytest.mark.parametrize("groups", [(), (0x7FE1,)])
def test_opaque_bytes_after_the_data_set_come_back(tail: bytes, groups: tuple[int, ...]) -> None:
    raw = image(EXPLICIT, after=own(Writer(), *groups)) + tail
    assert back(stored(raw), element(raw)) == raw


def test_a_second_pixel_data_element_stays_where_it_was() -> None:
    raw = image(EXPLICIT, after=Writer().element(0x7FE00010, "OW", b"second"))
    assert back(stored(raw), element(raw)) == raw


def test_the_pieces_of_a_cut_are_the_file() -> None:
    raw = image(BIG, after=own(Writer.of(BIG), 0x7FE1))
    pieces = cut(raw, scan(raw))
    assert b"".join([pieces.head, pieces.element_header, pieces.value, pieces.tail]) == raw
    assert len(pieces.element_header) == 12 and len(pieces.value) == 48


@pytest.mark.parametrize("syntax", NATIVE)
def test_any_toolkit_reads_the_stored_file_and_sees_our_elements(syntax: str) -> None:
    import io

    dataset = pydicom.dcmread(io.BytesIO(stored(image(syntax), payload=b"odd", trailing=b"rest")))
    block = dataset.private_block(0x7FE1, "DICOMNN")
    assert bytes(block[0x01].value) == b"odd\0" and bytes(block[0x03].value) == b"rest"
    assert str(dataset.PatientName) == "Made^One" and "PixelData" not in dataset


def test_an_object_without_pixel_data_cannot_be_cut() -> None:
    raw = image(EXPLICIT)
    layout = scan(raw[: scan(raw).pixel_data.start])  # type: ignore[union-attr]
    with pytest.raises(DataSetMalformed):
        cut(raw, layout)
    with pytest.raises(DataSetMalformed):
        choose_group(layout)


def test_a_payload_longer_than_an_element_is_refused() -> None:
    with pytest.raises(DataSetMalformed):
        private_block(
            0x7FE1,
            payload_length=1 << 32,
            manifest=b"{}",
            explicit=True,
            little_endian=True,
        )


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.90", "1.2.3"])
def test_another_transfer_syntax_changes_only_that_uid_and_the_group_length(uid: str) -> None:
    import io

    raw = image(EXPLICIT, pixels=b"\1" * 48)
    layout = scan(raw)
    head = with_transfer_syntax(raw, layout, uid)
    meta = pydicom.dcmread(io.BytesIO(head + raw[layout.dataset_start :]), force=True).file_meta
    assert meta.TransferSyntaxUID == uid and meta.MediaStorageSOPInstanceUID == "1.2.3.4"
    assert 132 + 12 + meta.FileMetaInformationGroupLength == len(head)
    assert (
        with_transfer_syntax(
            head + raw[layout.dataset_start :], scan(head + raw[layout.dataset_start :]), EXPLICIT
        )
        == raw[: layout.dataset_start]
    )


def test_a_meta_element_that_is_not_there_cannot_be_rewritten() -> None:
    raw = image(EXPLICIT)
    with pytest.raises(DataSetMalformed):
        with_meta_uid(raw, scan(raw), 0x00020012, "1.2")
