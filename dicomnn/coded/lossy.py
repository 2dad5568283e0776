"""The profiles lossy:*: a promise that is kept on every frame, or the next milder profile, and why.

What cannot be kept goes to `bounded`, then to `lossless` (docs/decisions/0042): of the bounds 8, 4, 2, 1 the
largest that keeps a promised PSNR or SSIM, or the smallest that reaches a promised ratio, measured on every
frame and within the cap. A loss that saves nothing beside coding without loss is no gain, and is not applied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dicomnn.codec import jpeg2000, planes
from dicomnn.codec.decode import decode_frames
from dicomnn.codec.lossy.model import LossyModel
from dicomnn.codec.lossy_encode import Aim, FrameFigures, Promised, each_figure, encode_promised, plane_of
from dicomnn.codec.payload import Payload, parse
from dicomnn.codec.profile import Profile
from dicomnn.coded.lossy_record import ESCALATED, LossyRecord
from dicomnn.coded.original import Original
from dicomnn.coded.spool import spool_file
from dicomnn.coded.stored import Models
from dicomnn.coded.window import ClinicalWindow, window_of
from dicomnn.dicom.attributes import ImagePixel
from dicomnn.dicom.caps import STRICTEST
from dicomnn.dicom.eligibility import REASONS
from dicomnn.dicom.scan import Layout
from dicomnn.errors import PromiseNotKept, SamplesInvalid

BOUNDS = (1, 2, 4, 8)


@dataclass(frozen=True)
class LossyRule:
    """What a lossy profile needs beside itself. `caps`: the table of `dicom/caps.py`; `asked_by`: what asked,
    for the record; `compare`: whether to find out what JPEG 2000 would have needed."""

    model: LossyModel | None = None
    caps: str = STRICTEST
    asked_by: str = ""
    compare: bool = True


@dataclass(frozen=True)
class Chosen:
    """The payload to be stored, under which profile, and what is to be said of it. `figures`: of each frame,
    empty for `lossless`."""

    profile: Profile
    payload: Payload
    record: LossyRecord
    aim: Aim
    figures: list[FrameFigures]


def choose(
    original: Original,
    layout: Layout,
    image: ImagePixel,
    wanted: Profile,
    rule: LossyRule,
    record: LossyRecord,
    *,
    lossless: Payload,
    encode: Callable[[Profile], Payload],
    models: Models,
    threads: int,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Chosen:
    """Code with the promise, or find what comes instead. `lossless`: the payload without loss; `encode` gives
    that of another profile. Needs room for the decoded pixels in `folder`.
    """
    kind, frames = original.sample_format, original.frames
    window = window_of(layout, image, kind, frames) if wanted.figure == "ssim" else None
    aim = Aim(wanted, kind, original.shape.frames, _in_planes(window, kind.mask, kind.signed), record.cap)
    record = record.with_(lossless_bytes=len(lossless))
    if window is not None:
        record = record.with_(
            window_low=window.low,
            window_high=window.high,
            window_center=window.center,
            window_width=window.width,
            window_source=window.source,
        )
    if rule.model is None:
        return _exact(lossless, aim, record, "no-lossy-model", REASONS["no-lossy-model"])
    with _room(original, folder) as decoded:
        try:
            found = encode_promised(
                frames, aim, rule.model, decoded=decoded, threads=threads, progress=progress
            )
        except PromiseNotKept as error:
            return _instead(
                original, aim, record, "promise-not-kept", str(error), lossless, encode, models, threads
            )
        except SamplesInvalid as error:
            return _exact(lossless, aim, record, "lossy-pixels", str(error))
        if len(found.payload) >= len(lossless):
            why = f"{len(found.payload)} bytes with loss, {len(lossless)} without"
            return _instead(original, aim, record, "no-gain", why, lossless, encode, models, threads)
        record = _with_figures(record, aim, found.frames, original, len(found.payload))
        if rule.compare:
            record = record.with_(jpeg2000_bytes=_jpeg2000(original, aim, found, decoded))
    return Chosen(wanted, found.payload, record, aim, found.frames)


def _in_planes(window: ClinicalWindow | None, mask: int, signed: bool) -> tuple[float, float] | None:
    """In values as `planes.split` gives them."""
    if window is None:
        return None
    shift = (mask + 1) // 2 if signed else 0
    return window.low + shift, window.high + shift


@contextmanager
def _room(original: Original, folder: Path) -> Iterator[np.ndarray]:
    """For the decoded planes: in memory for a single frame, else in a nameless file."""
    shape = (original.shape.frames, original.shape.rows, original.shape.columns)
    if shape[0] == 1:
        yield np.empty(shape, np.uint16)
        return
    with spool_file(folder) as spool:
        yield np.memmap(spool, np.uint16, "w+", shape=shape)


def _exact(lossless: Payload, aim: Aim, record: LossyRecord, reason: str, text: str) -> Chosen:
    told = record.not_applied(ESCALATED, "lossless", reason, text)
    return Chosen(Profile("lossless"), lossless, told, aim, [])


def _instead(
    original: Original,
    aim: Aim,
    record: LossyRecord,
    reason: str,
    text: str,
    lossless: Payload,
    encode: Callable[[Profile], Payload],
    models: Models,
    threads: int,
) -> Chosen:
    """The bound that keeps the promise, else no loss."""
    ratio = aim.profile.figure == "ratio"
    pixels = original.shape.total_bytes // original.shape.word_bytes
    if ratio and aim.ratio(pixels, len(lossless)) >= aim.profile.value:
        return _exact(lossless, aim, record, reason, f"{text}; without loss the ratio is reached as well")
    for bound in BOUNDS if ratio else BOUNDS[::-1]:
        profile = Profile("bounded", bound)
        payload = encode(profile)
        if len(payload) >= len(lossless):
            continue
        figures = _figures_of(original, payload, aim, models, threads)
        lowest = min(figure.reached for figure in figures)
        highest = _highest(figures)
        if lowest >= aim.profile.value and (aim.cap is None or (highest or 0.0) <= aim.cap):
            told = _with_figures(record, aim, figures, original, len(payload))
            told = told.not_applied(ESCALATED, str(profile), reason, text)
            return Chosen(profile, payload, told, aim, figures)
    text += f"; no bound of {', '.join(map(str, BOUNDS))} keeps it within the cap either"
    return _exact(lossless, aim, record, reason, text)


def _figures_of(
    original: Original, payload: Payload, aim: Aim, models: Models, threads: int
) -> list[FrameFigures]:
    raw = bytes(payload)
    header = parse(memoryview(raw)).header
    tiles = header.tile_lengths[: header.frames * header.grid.count].reshape(header.frames, -1).sum(1)
    share = -(-(len(raw) - int(tiles.sum())) // header.frames)
    decoded = decode_frames(raw, models, threads=threads)
    return list(each_figure(original.each_frame(), decoded, [int(size) + share for size in tiles], aim))


def _highest(figures: list[FrameFigures]) -> float | None:
    """Of frames in which anything was lost: the others need no cap."""
    return max((figure.ratio for figure in figures if not figure.exact), default=None)


def _with_figures(
    record: LossyRecord, aim: Aim, figures: list[FrameFigures], original: Original, size: int
) -> LossyRecord:
    worst = min(range(len(figures)), key=lambda number: figures[number].reached)
    before, after = figures[worst].noise
    pixels = original.shape.total_bytes // original.shape.word_bytes
    return record.with_(
        reached_worst=figures[worst].reached,
        reached_mean=sum(figure.reached for figure in figures) / len(figures),
        worst_frame=worst + 1,
        ratio_bits_stored=aim.ratio(pixels, size),
        ratio_bytes=original.shape.total_bytes / size,
        highest_ratio=_highest(figures),
        worst_frame_bytes=figures[worst].size,
        noise_before=before,
        noise_after=after,
    )


def _jpeg2000(original: Original, aim: Aim, found: Promised, decoded: np.ndarray) -> int | None:
    """Bytes that JPEG 2000 needs for what ours has in the worst frame: its SSIM or PSNR."""
    plane, minimum = plane_of(original.frames[found.worst], aim.sample_format)
    figure = "ssim" if aim.profile.figure == "ssim" else "psnr"
    same = replace(aim, profile=Profile("lossy", figure=figure, value=1.0))
    values = plane + np.uint16(minimum)

    def of(back: np.ndarray) -> float:
        return same.figure(values, back + np.uint16(minimum), 1)

    return jpeg2000.bytes_for(plane, of, of(decoded[found.worst]))


def keeps(chosen: Chosen) -> Callable[[int, np.ndarray, np.ndarray], bool]:
    """Whether a frame (from 0), as it was and as the written object gives it back, keeps the promise."""
    sizes = [figure.size for figure in chosen.figures]
    kind, aim = chosen.aim.sample_format, chosen.aim

    def check(number: int, before: np.ndarray, after: np.ndarray) -> bool:
        values, back = planes.split(before, kind)[0], planes.split(after, kind)[0]
        return aim.figure(values, back, sizes[number]) >= aim.profile.value

    return check

