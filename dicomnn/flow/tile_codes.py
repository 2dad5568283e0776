"""The autoencoder's part of a coded frame, alone: the code of each tile.

The codec of today has no picture in this layer. Its encoder looks at each tile and writes at most 16 small
numbers (-3 to 3) that tell the decoder what kind of scanner, noise and kernel the tile shows; the pixels
themselves come from the predictors and the entropy coder. So what can be shown is that code.
"""

from __future__ import annotations

from typing import Any

from dicomnn.archive import Instance
from dicomnn.codec.payload import parse
from dicomnn.codec.tiles import METHODS
from dicomnn.coded.stored import StoredObject
from dicomnn.errors import NotCoded, UsageError
from dicomnn.flow.opening import Archive

WORDS = (
    "At most 16 small numbers for each tile of 256 x 256 pixels: what the autoencoder saw there (scanner, "
    "noise, kernel). They steer the prediction; there is no picture in this layer, so it cannot be shown as "
    "one. An empty row is a tile whose code is zero, or that another coder won."
)


LOSSY_WORDS = "The lossy tier codes frames as a whole, by wavelet: there are no tiles and no such layer."


def of_frame(archive: Archive, instance: Instance, number: int) -> dict[str, Any]:
    """``tiles``: for each tile of frame ``number`` (counted from 1), its method, its bytes, and its 16
    numbers (None where it has none); ``words``: what that is. Raises UsageError."""
    nothing = {"words": "This object is not compressed, so there is no such layer.", "tiles": [], "across": 0}
    if not instance.state.is_coded:
        return nothing
    with archive.pin_current(instance.sop_instance_uid) as (_, path):
        try:
            with StoredObject(path) as stored:
                header, payload = stored.header, bytes(stored.payload)
        except NotCoded:
            return nothing
    if header.profile.kind == "lossy":
        return nothing | {"words": LOSSY_WORDS}
    if not 1 <= number <= header.frames:
        raise UsageError(f"there is no frame {number}")
    layout, count = parse(memoryview(payload)), header.grid.count
    model = archive.model(header.model_id) if header.model_id else None
    tiles = []
    for tile in range(count):
        method = METHODS[int(header.tile_methods[(number - 1) * count + tile])]
        data = layout.tile_bytes(memoryview(payload), number - 1, tile, number - 1)
        code = _code(data, model) if method in ("neural", "neighbour") and model is not None else None
        tiles.append({"method": method, "bytes": len(data), "code": code})
    return {"words": WORDS, "tiles": tiles, "across": header.grid.across}


def _code(data: bytes, model: Any) -> list[int]:
    from dicomnn.codec.tile_coder import read_head

    return [int(symbol) for symbol in read_head(data, model)[2]]
