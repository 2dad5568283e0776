"""The transfer syntaxes as one table (PS3.5 section 10 and annex A, PS3.6 table A-1)."""

from __future__ import annotations

from dataclasses import dataclass

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
RLE = "1.2.840.10008.1.2.5"
JPEG_LS, JPEG_2000, HTJ2K = (f"1.2.840.10008.1.2.4.{number}" for number in (80, 90, 201))
COMPRESSIONS = {"jpeg-ls": JPEG_LS, "jpeg-2000": JPEG_2000, "htj2k": HTJ2K}
"""Lossless ones that images can leave in on request, by their names in the configuration."""


@dataclass(frozen=True)
class Syntax:
    """How a data set of this transfer syntax is written.

    `lossless`: True always, False never, None when the UID alone does not tell (JPEG 2000 and others
    whose stream may be either). `decoder` names the decoder in ``encapsulated`` that gives back the raw
    words, None when there is none.
    """

    uid: str
    name: str
    little_endian: bool = True
    explicit: bool = True
    deflated: bool = False
    encapsulated: bool = True
    lossless: bool | None = None
    decoder: str | None = None
    known: bool = True

    @property
    def native(self) -> bool:
        """Pixel Data are uncompressed and where they stand: the form that is coded by splicing alone."""
        return self.known and not self.encapsulated and not self.deflated

    @property
    def decodable(self) -> bool:
        """Whether the pixels can be had as raw words without loss."""
        return self.native or self.decoder is not None


def _rows() -> list[Syntax]:
    jpeg = "1.2.840.10008.1.2.4."
    rows = [
        Syntax(IMPLICIT_LITTLE, "Implicit VR Little Endian", explicit=False, encapsulated=False,
               lossless=True),
        Syntax(EXPLICIT_LITTLE, "Explicit VR Little Endian", encapsulated=False, lossless=True),
        Syntax(EXPLICIT_BIG, "Explicit VR Big Endian", little_endian=False, encapsulated=False,
               lossless=True),
        Syntax(DEFLATED, "Deflated Explicit VR Little Endian", deflated=True, encapsulated=False,
               lossless=True),
        Syntax(RLE, "RLE Lossless", lossless=True, decoder="rle"),
        Syntax(jpeg + "57", "JPEG Lossless (process 14)", lossless=True, decoder="jpeg-lossless"),
        Syntax(jpeg + "70", "JPEG Lossless (process 14, selection value 1)", lossless=True,
               decoder="jpeg-lossless"),
        Syntax(jpeg + "80", "JPEG-LS Lossless", lossless=True, decoder="jpeg-ls"),
        Syntax(jpeg + "81", "JPEG-LS Near-lossless", lossless=False),
        Syntax(jpeg + "90", "JPEG 2000 Lossless", lossless=True, decoder="jpeg-2000"),
        Syntax(jpeg + "91", "JPEG 2000"),
        Syntax(jpeg + "92", "JPEG 2000 Part 2 Multi-component Lossless", lossless=True),
        Syntax(jpeg + "93", "JPEG 2000 Part 2 Multi-component"),
        Syntax(jpeg + "201", "HTJ2K Lossless", lossless=True, decoder="jpeg-2000"),
        Syntax(jpeg + "202", "HTJ2K Lossless RPCL", lossless=True, decoder="jpeg-2000"),
        Syntax(jpeg + "203", "HTJ2K"),
        Syntax(jpeg + "110", "JPEG XL Lossless", lossless=True, decoder="jpeg-xl"),
        Syntax(jpeg + "111", "JPEG XL JPEG Recompression", lossless=False),
        Syntax(jpeg + "112", "JPEG XL"),
        Syntax("1.2.840.10008.1.2.8.1", "Deflated Image Frame Compression", lossless=True),
        Syntax(jpeg + "94", "JPIP Referenced"),
        Syntax(jpeg + "95", "JPIP Referenced Deflate", deflated=True),
        Syntax(jpeg + "204", "JPIP HTJ2K Referenced"),
        Syntax(jpeg + "205", "JPIP HTJ2K Referenced Deflate", deflated=True),
    ]
    lossy_jpeg = {
        "50": "JPEG Baseline (process 1)", "51": "JPEG Extended (process 2 and 4)",
        "52": "JPEG Extended (process 3 and 5)", "53": "JPEG Spectral Selection (process 6 and 8)",
        "54": "JPEG Spectral Selection (process 7 and 9)", "55": "JPEG Full Progression (process 10 and 12)",
        "56": "JPEG Full Progression (process 11 and 13)",
        "59": "JPEG Extended Hierarchical (process 16 and 18)",
        "60": "JPEG Extended Hierarchical (process 17 and 19)",
        "61": "JPEG Spectral Selection Hierarchical (process 20 and 22)",
        "62": "JPEG Spectral Selection Hierarchical (process 21 and 23)",
        "63": "JPEG Full Progression Hierarchical (process 24 and 26)",
        "64": "JPEG Full Progression Hierarchical (process 25 and 27)",
    }
    rows += [Syntax(jpeg + number, name, lossless=False) for number, name in lossy_jpeg.items()]
    rows += [Syntax(jpeg + "58", "JPEG Lossless (process 15)", lossless=True),
             Syntax(jpeg + "65", "JPEG Lossless Hierarchical (process 28)", lossless=True),
             Syntax(jpeg + "66", "JPEG Lossless Hierarchical (process 29)", lossless=True)]
    video = {
        "100": "MPEG2 Main Profile / Main Level", "101": "MPEG2 Main Profile / High Level",
        "102": "MPEG-4 AVC/H.264 High Profile / Level 4.1",
        "103": "MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1",
        "104": "MPEG-4 AVC/H.264 High Profile / Level 4.2 for 2D Video",
        "105": "MPEG-4 AVC/H.264 High Profile / Level 4.2 for 3D Video",
        "106": "MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2",
        "107": "HEVC/H.265 Main Profile / Level 5.1", "108": "HEVC/H.265 Main 10 Profile / Level 5.1",
    }
    for number, name in video.items():
        rows.append(Syntax(jpeg + number, name, lossless=False))
        if int(number) <= 106:
            rows.append(Syntax(jpeg + number + ".1", "Fragmentable " + name, lossless=False))
    return rows


SYNTAXES: dict[str, Syntax] = {row.uid: row for row in _rows()}


def syntax(uid: str) -> Syntax:
    """The row of `uid`; an unknown one gets a row with ``known=False``, read as Explicit VR Little Endian."""
    row = SYNTAXES.get(uid)
    return row if row is not None else Syntax(uid, f"unknown ({uid or 'empty'})", known=False)
