"""What became of an original that was to be coded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dicomnn.codec.payload import Header
from dicomnn.codec.tiles import METHODS
from dicomnn.coded.bounded import Distortion
from dicomnn.coded.lossy_record import LossyRecord
from dicomnn.coded.manifest import Manifest


@dataclass(frozen=True)
class Sealed:
    """What became of the original. `kind` is 'coded' (the target is written and proven) or 'kept'.

    For kept ones `reason` is a code of ``eligibility.REASONS``, `detail` a sentence, and nothing was
    written. `note` says when a milder profile than asked for was applied. Sizes in bytes.
    """

    kind: str
    reason: str | None
    detail: str
    note: str
    profile: str
    bytes_before: int
    bytes_after: int
    pixel_bytes: int = 0
    payload_bytes: int = 0
    manifest: Manifest | None = None
    header: Header | None = None
    distortion: Distortion | None = None
    encode_seconds: float = 0.0
    verify_seconds: float = 0.0
    seconds: float = 0.0
    lossy: LossyRecord | None = None
    """Where a lossy profile was asked for."""

    def facts(self) -> dict[str, Any]:
        """Plain JSON values for index and report. No digests: the index has its own, the object the rest."""
        facts: dict[str, Any] = {
            "kind": self.kind,
            "reason": self.reason,
            "detail": self.detail,
            "note": self.note,
            "profile": self.profile,
            "bytes_before": self.bytes_before,
            "bytes_after": self.bytes_after,
            "seconds": round(self.seconds, 4),
        }
        if self.lossy is not None:
            facts["lossy"] = self.lossy.to_json()
        if self.manifest is None or self.header is None:
            return facts
        header, counts = self.header, np.bincount(self.header.tile_methods, minlength=len(METHODS))
        pixels = header.frames * header.rows * header.columns
        facts |= {
            "ratio": round(self.bytes_before / self.bytes_after, 4),
            "bits_per_pixel": round(8 * self.payload_bytes / pixels, 4),
            "pixel_bytes": self.pixel_bytes,
            "payload_bytes": self.payload_bytes,
            "frames": header.frames,
            "rows": header.rows,
            "columns": header.columns,
            "tiles": {name: int(count) for name, count in zip(METHODS, counts, strict=True)},
            "model_id": self.manifest.model_id,
            "effort": self.manifest.effort,
            "coded_at": self.manifest.time,
            "exact": self.manifest.exact,
            "encode_seconds": round(self.encode_seconds, 4),
            "verify_seconds": round(self.verify_seconds, 4),
            "metrics": None if self.distortion is None else self.distortion.facts(),
        }
        return facts
