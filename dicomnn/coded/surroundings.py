"""What stands around the pixels of an object, as of its restored form: nothing is decoded for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dicomnn.coded.mapping import Mapping
from dicomnn.coded.pixel_header import PixelHeader
from dicomnn.coded.stored import StoredObject
from dicomnn.dicom.scan import PIXEL_DATA, scan
from dicomnn.dicom.walk import Element, Encoding
from dicomnn.errors import NotCoded


@dataclass(frozen=True)
class Surroundings:
    """The data set's elements by position in ``view``. Pixel Data of a coded object are an element of length
    0 at the end of the list, our private block is not there. `transfer_syntax`: as the data set says."""

    view: memoryview
    elements: list[Element]
    encoding: Encoding
    transfer_syntax: str


@contextmanager
def surroundings(source: Path) -> Iterator[Surroundings]:
    """Of any DICOM file, for as long as the block runs. Raises NotDicom, DataSetMalformed, what StoredObject
    raises."""
    try:
        stored = StoredObject(source)
    except NotCoded:
        with Mapping(source) as mapping:
            layout = scan(mapping.buffer)
            yield Surroundings(layout.data(mapping.buffer), layout.elements,
                               Encoding(layout.explicit, layout.little_endian), layout.transfer_syntax)
        return
    with stored:
        layout, end = stored.layout, len(stored.mapping)
        vr = PixelHeader.parse(stored.pixel_header, explicit=layout.explicit,
                               little_endian=layout.little_endian).vr
        gone = [(start, stop) for start, stop in stored.block.positions]
        kept = [element for element in layout.elements
                if not any(start <= element.start < stop for start, stop in gone)]
        pixels = Element(PIXEL_DATA, vr or "OW", end, end, end, False, 0)
        yield Surroundings(stored.mapping.buffer, [*kept, pixels],
                           Encoding(layout.explicit, layout.little_endian), layout.transfer_syntax)
