"""A study's losses, for a person who looks at it: what was promised, what was reached, what it saves.

Images with the same promise and the same outcome are one group. Every line is ready for reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dicomnn.report.loss import Loss
from dicomnn.report.reading import number, ratio_text, size
from dicomnn.report.study import InstanceRow, StudyReport

KEPT, ESCALATED, REFUSED = "kept", "escalated", "refused"
_TITLES = {
    KEPT: "Promise kept on every frame",
    ESCALATED: "Promise not applied; a milder profile was",
    REFUSED: "Refused; coded without loss",
}
_UNKNOWN = 2.0          # for the SSIM of an image that has none: others are worse
_AT_THE_CAP = 0.97      # share of it from which it is what stopped the search
_ALL_LEFT = 99.5        # per cent


@dataclass(frozen=True)
class Worst:
    """The frame (from 1) to look at first, and what it is called."""

    sop_instance_uid: str
    frame: int
    title: str


@dataclass(frozen=True)
class Group:
    """`outcome`: 'kept' (by `bounded` profiles always), 'escalated' or 'refused'. `lines`: names and texts.
    `worst`: None where no value differs. `remark`: for whoever asked and got something else."""

    images: int
    outcome: str
    title: str
    promised: str
    lines: tuple[tuple[str, str], ...]
    worst: Worst | None = None
    remark: str = ""

    @property
    def lossy(self) -> bool:
        return self.worst is not None


def groups(report: StudyReport) -> list[Group]:
    """Those with loss first; [] of a study for which none was asked."""
    found: dict[tuple[str, ...], list[InstanceRow]] = {}
    for series in report.series:
        for row in series.instances:
            if row.state != "deleted" and (key := _key(row)):
                found.setdefault(key, []).append(row)
    made = [_group(rows) for rows in found.values()]
    return sorted(made, key=lambda group: (not group.lossy, group.outcome))


def _key(row: InstanceRow) -> tuple[str, ...]:
    loss = row.lossy
    if loss is not None:
        detail = loss.reason_text if loss.outcome == REFUSED else loss.reason
        return (loss.promise, loss.outcome, loss.applied, loss.region, loss.guideline, loss.asked_by, detail)
    return ("", row.profile) if row.exact == "bounded" else ()


def _group(rows: list[InstanceRow]) -> Group:
    losses = [row.lossy for row in rows if row.lossy is not None]
    if not losses:
        return _bounded(rows)
    first = losses[0]
    lossless = first.applied == "lossless"
    lines: list[tuple[str, str]] = []
    if first.outcome != KEPT:
        lines.append(("Why", _sentence(first.reason_text or first.reason)))
    if first.outcome == ESCALATED:
        lines.append(("Applied", _applied(first.applied)))
    if not lossless:
        lines += _reached(rows, losses)
    lines.append(("Highest allowed", _cap(losses)))
    if not lossless:
        lines += _sizes(rows, losses)
    lines.append(("Asked by", first.asked_by))
    told = tuple((name, text) for name, text in lines if text)
    worst = None if lossless else _worst(rows, lambda row: _reached_worst(row.lossy))
    return Group(len(rows), first.outcome, _TITLES.get(first.outcome, first.outcome), first.promised(), told,
                 worst, _remark(first, len(rows)))


def _bounded(rows: list[InstanceRow]) -> Group:
    qualities = [row.quality for row in rows if row.quality is not None]
    bound = rows[0].profile.removeprefix("bounded:")
    errors = [quality.max_error for quality in qualities if quality.max_error is not None]
    rescaled = [quality.max_error_rescaled for quality in qualities if quality.max_error_rescaled is not None]
    unit = next((quality.unit for quality in qualities if quality.unit), "")
    reached = f"largest error {max(errors)}" if errors else ""
    if reached and rescaled and unit:
        reached += f" ({number(max(rescaled))} {unit})"
    lines = [("Reached", reached), ("Measured", _measured(rows)), ("Ratio", _bytes_ratio(rows))]
    return Group(len(rows), KEPT, _TITLES[KEPT], f"no stored value changes by more than {bound}",
                 tuple((name, text) for name, text in lines if text), _worst(rows, _likeness))


# ---------------------------------------------------------------------- lines
def _reached(rows: list[InstanceRow], losses: list[Loss]) -> list[tuple[str, str]]:
    known = [loss for loss in losses if loss.reached_worst is not None]
    if not known:
        return []
    lowest = min(known, key=_reached_worst)
    means = [loss.reached_mean for loss in known if loss.reached_mean is not None]
    place = _worst(rows, lambda row: _reached_worst(row.lossy))
    text = lowest.figure(lowest.reached_worst)
    if sum(row.frames or 1 for row in rows) > 1:
        text += f" in the worst frame ({place.title})" if place.title else " in the worst frame"
        if means:
            text += f", {lowest.figure(sum(means) / len(means))} on average"
    return [("Reached", text), ("Seen through", _windows(known)), ("Measured", _measured(rows))]


def _windows(losses: list[Loss]) -> str:
    if losses[0].kind == "ratio":
        return ""
    if losses[0].kind == "psnr":
        return "no window: over all stored values, MAX = 2^BitsStored - 1"
    windows = sorted({loss.window() for loss in losses if loss.window()})
    if len(windows) > 1:
        return f"{len(windows)} windows, each image its own; the first: {windows[0]}"
    return windows[0] if windows else ""


def _measured(rows: list[InstanceRow]) -> str:
    """Of the image that is least like its original."""
    qualities = [row.quality for row in rows if row.quality is not None]
    if not qualities:
        return ""
    parts = []
    for name, field in (("PSNR", "psnr_db"), ("in the window", "psnr_window_db"), ("SSIM", "ssim")):
        values = [value for quality in qualities if (value := getattr(quality, field)) is not None]
        if values:
            unit = "" if field == "ssim" else " dB"
            parts.append(f"{name} {number(min(values), 4 if field == 'ssim' else 1)}{unit}")
    errors = [quality.max_error for quality in qualities if quality.max_error is not None]
    if errors:
        parts.append(f"largest error {max(errors)}")
    return f"at worst {', '.join(parts)}" if parts else ""


def _cap(losses: list[Loss]) -> str:
    first = losses[0]
    if first.cap is None:
        return "" if first.guideline in first.reason_text else _sentence(first.guideline)
    highest = max((loss.highest_ratio for loss in losses if loss.highest_ratio is not None), default=None)
    reached = ""
    if highest is not None and first.applied != "lossless":
        reached = f"; no frame is above {highest:.2f} : 1"
        if first.outcome == KEPT and first.kind != "ratio" and highest > _AT_THE_CAP * first.cap:
            reached += ", so this limit, not the promise, decided how much was lost"
    region = f" for {first.region}" if first.region else ""
    guideline = f". Guideline: {first.guideline}" if first.guideline else ""
    return f"{number(first.cap)} : 1 by stored bits{region}{reached}{guideline}"


def _sizes(rows: list[InstanceRow], losses: list[Loss]) -> list[tuple[str, str]]:
    bits = [loss.ratio_bits_stored for loss in losses if loss.ratio_bits_stored is not None]
    ratio = f"{_range(bits)} : 1 by stored bits; {_bytes_ratio(rows)}" if bits else _bytes_ratio(rows)
    payload = sum(row.payload_bytes or 0 for row in rows)
    lossless = sum(loss.lossless_bytes or 0 for loss in losses)
    lines = [("Ratio", ratio)]
    if payload and all(loss.lossless_bytes for loss in losses):
        lines.append(("Without loss", f"{size(lossless)}, {lossless / payload:.2f} times as much as now"))
    pairs = [(loss.jpeg2000_bytes, loss.worst_frame_bytes) for loss in losses
             if loss.jpeg2000_bytes and loss.worst_frame_bytes]
    if pairs:
        theirs, ours = sum(pair[0] or 0 for pair in pairs), sum(pair[1] or 0 for pair in pairs)
        figure = "SSIM" if losses[0].kind == "ssim" else "PSNR"
        frames = "the worst frame" if len(pairs) == 1 else f"the worst frame of each of {len(pairs)} images"
        lines.append(("JPEG 2000", f"would need {size(theirs)} for the same {figure} of {frames}: "
                                   f"{theirs / ours:.2f} times our {size(ours)}"))
    lines.append(("Noise power", _noise(losses)))
    return lines


def _noise(losses: list[Loss]) -> str:
    known = [(loss.noise_before, loss.noise_after) for loss in losses
             if loss.noise_before and loss.noise_after is not None]
    if not known:
        return ""
    shares = [100 * (after or 0.0) / (before or 1.0) for before, after in known]
    before, after = known[shares.index(min(shares))]
    text = f"{number(before, 1)} before, {number(after, 1)} after: {number(min(shares), 1)} % left"
    if len(known) > 1:
        text += f" in the image that lost most, {number(sum(shares) / len(shares), 1)} % on average"
    return text if min(shares) > _ALL_LEFT else f"{text}. What is missing is fine texture"


def _bytes_ratio(rows: list[InstanceRow]) -> str:
    after = sum(row.stored for row in rows)
    before = sum(row.bytes_before for row in rows)
    return f"{ratio_text(before / after)} by bytes of the files" if after else ""


def _range(values: list[float]) -> str:
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"


# ---------------------------------------------------------------------- the frame to look at
def _reached_worst(loss: Loss | None) -> float:
    return float("inf") if loss is None or loss.reached_worst is None else loss.reached_worst


def _likeness(row: InstanceRow) -> float:
    quality = row.quality
    return _UNKNOWN if quality is None or quality.ssim is None else quality.ssim


def _worst(rows: Iterable[InstanceRow], measure: Callable[[InstanceRow], float]) -> Worst:
    row = min(rows, key=measure)
    frame = None
    if row.lossy is not None:
        frame = row.lossy.worst_frame
    elif row.quality is not None:
        frame = row.quality.worst_frame
    number_of = f"image {row.instance_number}" if row.instance_number is not None else ""
    parts = [number_of, f"frame {frame}" if (row.frames or 1) > 1 and frame else ""]
    return Worst(row.sop_instance_uid, frame or 1, ", ".join(part for part in parts if part))


# ---------------------------------------------------------------------- words
def _applied(profile: str) -> str:
    if profile == "lossless":
        return "lossless: every value comes back exactly"
    bound = profile.removeprefix("bounded:")
    return f"{profile}: no stored value changes by more than {bound}" if bound != profile else profile


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] if text else ""


def _remark(loss: Loss, images: int) -> str:
    """For whoever asked, where it came otherwise; '' where the promise was kept."""
    if loss.outcome == KEPT:
        return ""
    many = f"{images} image{'' if images == 1 else 's'}"
    what = "was refused" if loss.outcome == REFUSED else "could not be kept or gained nothing"
    why = f" {_sentence(loss.reason_text)}." if loss.reason_text else ""
    return f"{many}: {loss.promised()} {what}.{why} Applied: {_applied(loss.applied)}."
