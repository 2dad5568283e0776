"""A model is released only after its real bytes came back, on images that it was not trained on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dicomnn.codec import contenders, packing, tile_coder
from dicomnn.codec.contenders import NEIGHBOUR, NEURAL
from dicomnn.codec.decode import decode
from dicomnn.codec.encode import encode
from dicomnn.codec.framing import MARGIN
from dicomnn.codec.model import Model, check_bounds
from dicomnn.codec.profile import EFFORTS, Profile
from dicomnn.codec.reference_model import ReferenceModel
from dicomnn.codec.reference_neural import decode_neural
from dicomnn.codec.sample import SampleFormat
from dicomnn.codec.tiles import TILE_COLUMNS, TILE_ROWS, TileContext
from dicomnn.errors import DicomnnError, TrainingError
from dicomnn.training.data import walk
from dicomnn.training.export import load_network
from dicomnn.training.images.planes import PlaneCache
from dicomnn.training.images.records import NotUsable, PlaneRecord
from dicomnn.training.loop import promised_bits
from dicomnn.training.network import TileCodec
from dicomnn.training.pair import Pair, cut
from dicomnn.training.sampler import WITH_REFERENCE

TILES = 16
ALL_EFFORTS = 4
BOUND = 2
REFERENCE_SIDE = 32
LONGEST = 1.25
"""Real bytes may exceed the trained network's own estimate by this factor and 64 bytes, never more."""

Advance = Callable[[str, int, int], None]


def verify(
    model: Model, planes: Sequence[PlaneRecord], cache: PlaneCache, advance: Advance
) -> dict[str, Any]:
    """Proves the model on tiles of ``planes`` and measures them. Raises TrainingError when anything differs.

    Checked: the bounds of all sums and the fingerprint; every tile decodes to itself, some of them at every
    effort and within a bound, and those that have a plane before them also with it; the second decoder
    (plain NumPy, written from the format's description) reads the same; the bytes are what the trained
    network promised. Returns plain figures for manifest and card.
    """
    largest = max(check_bounds(model.arrays).values())
    if tile_coder.fingerprint(model) != model.about.get("fingerprint"):
        raise TrainingError("The exported model does not have the fingerprint that it was given.")
    network = load_network(model.arrays).eval()
    sums: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(FIGURES, 0.0))
    chosen = spread(planes, TILES)
    trips = seen = 0
    agreed: set[int] = set()
    for number, plane in enumerate(chosen):
        advance("verifying tiles", number, len(chosen))
        try:
            pair, peak = tile_of(plane, cache)
        except NotUsable:
            continue  # an archive in use replaces its objects
        efforts = EFFORTS if seen < ALL_EFFORTS else ("default",)
        kinds = [(NEURAL, plane.file.group)]
        if pair.reference is not None:
            kinds.append((NEIGHBOUR, WITH_REFERENCE.format(plane.file.group)))
        try:
            for method, group in kinds:
                size = _round_trips(method, pair, peak, efforts, model)
                _add(sums[group], pair if method == NEIGHBOUR else Pair(pair.tile), peak, size, network)
                trips += len(efforts)
            if seen < ALL_EFFORTS:
                _check_bounded(pair.tile, model)
                trips += 1
        except DicomnnError as error:
            raise TrainingError(f"The model failed its verification: {error}", subject=plane.key) from error
        for method, _ in kinds:
            if method not in agreed:
                _check_reference(method, pair, model)
                agreed.add(method)
        seen += 1
    if not seen:
        raise TrainingError("None of the validation images can be read any more.")
    return {
        "tiles": seen,
        "round_trips": trips,
        "largest_sum": largest,
        "reference_decoder": "agrees",
        "groups": {group: _figures(found) for group, found in sorted(sums.items())},
    }


FIGURES = ("tiles", "pixels", "bytes", "jpegls_bytes", "promised_bits")


def spread(planes: Sequence[PlaneRecord], count: int) -> list[PlaneRecord]:
    """At most ``count`` planes, in turn from each modality and scanner, so that few kinds are left out."""
    kinds: dict[tuple[str, str], list[PlaneRecord]] = defaultdict(list)
    for plane in planes:
        kinds[(plane.file.group, plane.file.scanner)].append(plane)
    queues = [members[:: max(len(members) // count, 1)] for _, members in sorted(kinds.items())]
    picked: list[PlaneRecord] = []
    turn = 0
    while len(picked) < count and any(turn < len(queue) for queue in queues):
        picked += [queue[turn] for queue in queues if turn < len(queue)][: count - len(picked)]
        turn += 1
    return picked


def tile_of(record: PlaneRecord, cache: PlaneCache) -> tuple[Pair, int]:
    """The tile in the middle of a plane, as the codec would cut it out, with the plane before it where it can
    be drawn with that, and the plane's peak. Raises NotUsable.
    """
    plane, before = cache.get(record), None
    if record.measures.packed:
        plane = packing.pack(plane, packing.used_values(plane))
    else:
        before = cache.before(record)
    h, w = plane.shape
    top, left = max(h - TILE_ROWS, 0) // 2, max(w - TILE_COLUMNS, 0) // 2
    return cut(plane, before, top, left, TILE_ROWS, TILE_COLUMNS).contiguous(), int(plane.max())


def _round_trips(method: int, pair: Pair, peak: int, efforts: Sequence[str], model: Model) -> int:
    """Bytes of a tile at effort default. Raises TrainingError where it does not come back at an effort."""
    contender, size = contenders.contender(method), 0
    for effort in efforts:
        context = TileContext(peak, 0, effort, model, pair.reference)
        data = contender.encode(pair.tile, context)
        if data is None or not np.array_equal(contender.decode(data, pair.tile.shape, context), pair.tile):
            raise TrainingError(f"A tile did not come back at effort {effort} ({contender.NAME}).")
        size = len(data) if effort == "default" else size
    return size


def _add(sums: dict[str, float], pair: Pair, peak: int, size: int, network: TileCodec) -> None:
    tile = pair.tile
    jpegls = contenders.contender(contenders.JPEGLS).encode(tile, TileContext(peak, 0, "default", None))
    promised = promised_bits(network, walk(tile, "default", "", "", pair.reference))
    if size > LONGEST * promised / 8 + 64:
        raise TrainingError(
            f"A tile takes {size} bytes where the trained network promised {promised / 8:.0f}: "
            "what was exported is not what was trained."
        )
    sums["tiles"] += 1
    sums["pixels"] += tile.size
    sums["bytes"] += size
    sums["jpegls_bytes"] += len(jpegls) if jpegls is not None else tile.size * 2
    sums["promised_bits"] += promised


def _check_bounded(tile: np.ndarray, model: Model) -> None:
    words = SampleFormat(16, 16, 15, False)
    payload = encode(tile[None], words, profile=Profile("bounded", BOUND), model=model, effort="fast")
    back = decode(bytes(payload), lambda _: model)
    if int(np.abs(back[0].astype(np.int64) - tile).max()) > BOUND:
        raise TrainingError(f"bounded:{BOUND} was not kept.")


def _check_reference(method: int, pair: Pair, model: Model) -> None:
    """The second decoder reads the learned contender's bytes of a small piece as the first does."""
    small = np.ascontiguousarray(pair.tile[:REFERENCE_SIDE, :REFERENCE_SIDE])
    beside = None
    if method == NEIGHBOUR and pair.reference is not None:
        rows, columns = (side + 2 * MARGIN for side in small.shape)
        beside = np.ascontiguousarray(pair.reference[:rows, :columns])
    context = TileContext(peak=int(pair.tile.max()), bound=0, effort="default", model=model, reference=beside)
    data = contenders.contender(method).encode(small, context)
    wide = None if beside is None else beside.astype(np.int64)
    h, w = small.shape
    read = ReferenceModel(model.data)
    if data is None or not np.array_equal(
        decode_neural(data, h, w, context.peak, 0, "default", read, wide), small
    ):
        raise TrainingError("The reference decoder gives other pixels than the codec.")


def _figures(sums: dict[str, float]) -> dict[str, float]:
    return {
        "tiles": int(sums["tiles"]),
        "bits_per_pixel": round(8 * sums["bytes"] / sums["pixels"], 4),
        "promised_bits_per_pixel": round(sums["promised_bits"] / sums["pixels"], 4),
        "jpegls_bits_per_pixel": round(8 * sums["jpegls_bytes"] / sums["pixels"], 4),
        "ratio_to_jpegls": round(sums["bytes"] / sums["jpegls_bytes"], 4),
    }
