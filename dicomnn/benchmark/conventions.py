"""What the figures mean: printed with them, kept with them."""

from __future__ import annotations

from dicomnn.benchmark.run import Result
from dicomnn.benchmark.slices import THIN
from dicomnn.coded.proving import GROUP_AT_MAX


def conventions(result: Result) -> list[str]:
    """One sentence or two each."""
    settings = result.settings
    measured = f"{settings.most} frames of each series, evenly" if settings.most else "every frame"
    stacked = [_stacked(settings.group)] if settings.group else []
    cores = f"{settings.jobs} worker process{'es' if settings.jobs > 1 else ''} of one thread"
    return [
        f"Measured: {measured}; model {result.model_id}. Only single-sample images of 8 to 16 bits that the "
        "node would code; losslessly encapsulated ones are decoded first.",
        "Ours: bytes of the stored file less every byte of the original that is no pixel, so manifest, "
        "private elements and payload header count. An image that would not become smaller counts "
        "uncompressed. Of an encapsulated original, or of some frames of a file, the native file with the "
        "same other bytes is coded. A bounded object also carries the elements that mark it as derived.",
        "Peers: bytes of the codestreams of the same frames as planes (stored value less the frame's "
        "minimum, unsigned, 8-bit container below 256) with the true precision (HTJ2K: the container's, "
        "imagecodecs takes no other). No DICOM around them. Bits outside of the stored value: only ours "
        "keeps them.",
        "Every stream of every codec was decoded and compared.",
        "Ratio: bytes of ours by bytes of the peer on the same frames, below 1 is smaller; mean over series, "
        "each counted once, with a 95 % bootstrap interval over series (fixed seed). Series whose JPEG XL "
        "e7 exceeds 0.95 of log2(values in use) hold random numbers: listed, not counted.",
        *stacked,
        f"Speed: MB/s of 16-bit pixels (2 bytes a pixel), {cores} for every codec, codecs one after another, "
        "warm. Ours: encode has reading, writing with sync, and the verification; decode is from stored "
        "file to checked frames. Peers: memory to memory.",
        "Memory: largest resident size of one worker, interpreter and libraries included.",
    ]


def _stacked(group: int) -> str:
    return (
        f"Neighbouring slice: all slices of every run of thin CT ({THIN:g} mm apart or less), however many "
        "frames are measured elsewhere, stacked into one payload a run: alone, and in groups of "
        f"{group}, where each slice but the first of a group may refer to the one before. Bytes are the "
        "payload's, which is what a multi-frame object would carry; JPEG XL e7 as above. To read one slice "
        f"of a group takes decoding up to {group}, {(group + 1) / 2:g} on average. Neighbour tiles: of all "
        "tiles, those that refer. The node does so within multi-frame objects at effort max, in groups of "
        f"{GROUP_AT_MAX}; single-frame files are coded alone."
    )
