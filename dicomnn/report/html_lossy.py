"""The part of the page about lossy profiles: what was promised and reached, or why another was applied."""

from __future__ import annotations

from dicomnn.report.drawing import escape
from dicomnn.report.loss import Loss
from dicomnn.report.reading import number, ratio_text
from dicomnn.report.study import InstanceRow, StudyReport

MOST_ROWS = 200
_HEAD = ("No.", "Promised", "What became of it", "Reached, worst frame (mean)",
         "Ratio by Bits Stored (by bytes)", "Highest allowed", "Window",
         "JPEG 2000 for the same", "Noise power, worst frame")


def lossy_section(report: StudyReport) -> str:
    """'' where no lossy profile was asked for."""
    rows = [row for series in report.series for row in series.instances if row.lossy is not None]
    if not rows:
        return ""
    lines = "".join(_line(row, row.lossy) for row in rows[:MOST_ROWS] if row.lossy is not None)
    left = len(rows) - MOST_ROWS
    more = f'<p class="soft">{left} more stand in the JSON file of this report.</p>' if left > 0 else ""
    head = "".join(f"<th>{text}</th>" for text in _HEAD)
    return ('<h2>Lossy profiles</h2><div class="box note"><strong>Lossy</strong>What is lossy is a new '
            "object with a UID of its own, marked as lossy; the original is gone. Every figure was "
            "measured on the values that come back, before that."
            f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'
            f"{more}</div>")


def _line(row: InstanceRow, loss: Loss) -> str:
    became = f'<span class="tag">{escape(loss.outcome)}</span><br><small>{escape(loss.applied)}</small>'
    if loss.reason_text:
        became += f"<br><small>{escape(loss.reason_text)}</small>"
    reached = "–"
    if loss.reached_worst is not None:
        frame = f", frame {loss.worst_frame}" if (row.frames or 1) > 1 else ""
        reached = f"{loss.figure(loss.reached_worst)}{frame} ({loss.figure(loss.reached_mean)})"
    allowed = "–" if loss.cap is None else f"{number(loss.cap)} : 1"
    if loss.guideline:
        whose = ", ".join(part for part in (loss.region, loss.guideline) if part)
        allowed += f"<br><small>{escape(whose)}</small>"
    ratios = "–"
    if loss.ratio_bits_stored is not None:
        ratios = f"{ratio_text(loss.ratio_bits_stored)} ({ratio_text(loss.ratio_bytes)})"
    instance = "–" if row.instance_number is None else str(row.instance_number)
    cells = (instance,
             f"{escape(loss.promised())}<br><small>{escape(loss.asked_by)}</small>", became, escape(reached),
             ratios, allowed, escape(loss.window()) or "–", escape(loss.against_jpeg2000()) or "–",
             escape(loss.noise()) or "–")
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
