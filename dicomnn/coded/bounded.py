"""What a profile with loss makes: a new object beside the original, and how far its pixels moved."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dicomnn.codec.decode import decode_frames
from dicomnn.codec.payload import Payload
from dicomnn.codec.planes import split
from dicomnn.codec.profile import Profile
from dicomnn.codec.sample import SampleFormat, stored_values
from dicomnn.coded.mapping import Mapping
from dicomnn.coded.original import Original, native_surroundings
from dicomnn.coded.spool import spool_file
from dicomnn.coded.stored import Models
from dicomnn.dicom.derive import (
    LARGEST,
    LOSSY_TIER,
    METHOD,
    SMALLEST,
    LossyFacts,
    derived_surroundings,
    new_uid,
)
from dicomnn.dicom.scan import Layout, scan


@dataclass
class Distortion:
    """Errors in stored values, frame after frame; figures are of all frames unless they say otherwise."""

    sample_format: SampleFormat
    max_error: int = 0
    squares: int = 0
    samples: int = 0
    frames: int = 0
    worst_frame: int = -1
    worst_mse: float = -1.0

    def add(self, original: np.ndarray, decoded: np.ndarray) -> int:
        """Count a frame of raw words; its largest error in stored units, 2^16 when other bits changed."""
        kind = self.sample_format
        # Not the bits themselves: where the sign is extended they follow a value that crosses zero.
        (_, before), (_, after) = split(original, kind), split(decoded, kind)
        if (before is None) != (after is None):
            return 1 << 16
        if before is not None and after is not None and not np.array_equal(before, after):
            return 1 << 16
        a, b = stored_values(original, kind), stored_values(decoded, kind)
        errors = np.abs(a - b).astype(np.int64)
        largest, squares = int(errors.max()), int(np.square(errors).sum())
        if squares / errors.size > self.worst_mse:
            self.worst_frame, self.worst_mse = self.frames, squares / errors.size
        self.frames += 1
        self.max_error = max(self.max_error, largest)
        self.squares += squares
        self.samples += errors.size
        return largest

    def facts(self) -> dict[str, Any]:
        """Plain JSON; PSNR with MAX = 2^BitsStored - 1, None when nothing differs."""
        mse = self.squares / max(1, self.samples)
        peak = self.sample_format.mask
        return {
            "max_error": self.max_error,
            "mse": mse,
            "psnr_max": peak,
            "psnr": 10 * math.log10(peak**2 / mse) if mse else None,
            "worst_frame": self.worst_frame,
        }


def derived(
    mapping: Mapping,
    layout: Layout,
    original: Original,
    payload: Payload,
    profile: Profile,
    models: Models,
    *,
    threads: int = 1,
) -> Original:
    """`original` with the surroundings of its lossy version: new UID, marks, source (PS3.3 C.7.6.1.1.5).

    The ratio in the marks counts bytes for `bounded`; for `lossy`, whose caps do so, Bits Stored.
    Raises DataSetMalformed when the data set does not allow it.
    """
    smallest, largest = _range(layout, original, payload, models, threads)
    ratio, method = original.shape.total_bytes / len(payload), METHOD
    if profile.kind == "lossy":
        kind, method = original.sample_format, LOSSY_TIER
        ratio *= kind.bits_stored / kind.bits_allocated
    facts = LossyFacts(
        bound=profile.bound,
        ratio=ratio,
        smallest=smallest,
        largest=largest,
        sop_instance_uid=new_uid(),
        method=method,
        promise=profile.promise,
    )
    surroundings = derived_surroundings(mapping.buffer, layout, facts)
    meta, head, dropped = surroundings.before_dataset, surroundings.head, original.dropped
    if original.encapsulated:
        raw = meta + head
        meta, head, dropped = native_surroundings(raw, scan(raw), len(raw))
    split = len(original.between)
    return replace(
        original,
        meta=meta,
        head=head,
        between=surroundings.tail[:split],
        after=surroundings.tail[split:],
        exact=profile.kind,
        dropped=dropped,
    )


def _range(
    layout: Layout, original: Original, payload: Payload, models: Models, threads: int
) -> tuple[int, int]:
    """Smallest and largest stored value of the decoded pixels; decoded only if the data set names them."""
    if layout.find(SMALLEST) is None and layout.find(LARGEST) is None:
        return 0, 0
    with spool_file(None) as spool:
        payload.write_to(spool)
        with Mapping(spool) as written:
            ranges = []
            for frame in decode_frames(written.buffer, models, threads=threads):
                values = stored_values(frame, original.sample_format)
                ranges.append((int(values.min()), int(values.max())))
    return min(low for low, _ in ranges), max(high for _, high in ranges)
