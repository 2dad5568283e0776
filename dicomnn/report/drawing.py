"""SVG histogram of errors and the stacked bars of a report, as HTML text; the escaping of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape as html_escape
from unicodedata import category

KNOWN = ("neural", "jpegls", "constant", "raw")
CONTENDER_WORDS = {
    "neural": "neural: the learned codec", "jpegls": "jpegls: the standard JPEG-LS",
    "constant": "constant: one value only", "raw": "raw: not compressible",
}
_TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def escape(value: object) -> str:
    """Text for HTML; control characters and those that reverse the direction of text become U+FFFD."""
    text = "".join("\ufffd" if category(c) in ("Cc", "Cs") and c not in "\n\t" or c in _TURNING else c
                   for c in str(value))
    return html_escape(text, quote=True)


def percent(share: float) -> str:
    """A share as text; what is not quite nothing or everything never reads 0 % or 100 %."""
    if share in (0.0, 1.0):
        return f"{share:.0%}".replace("%", " %")
    text = f"{100 * share:.1f}"
    if text == "100.0":
        return "> 99.9 %"
    return "< 0.1 %" if text == "0.0" else f"{text} %"


def histogram(counts: Sequence[tuple[float, float, int]]) -> str:
    """Bars of (from, to, pixels); height is the share of pixels, square root scaled so that few are seen."""
    total = sum(count for *_, count in counts) or 1
    width, floor, top, left = 240.0, 196.0, 34.0, 12.0
    step = (width - 2 * left) / max(len(counts), 1)
    thick = min(step * 0.86, 46.0)
    bars = []
    for place, (low, high, count) in enumerate(counts):
        height = (floor - top) * (count / total) ** 0.5
        span = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        x = left + step * place + (step - thick) / 2
        bars.append(f'<rect x="{x:.1f}" y="{floor - height:.1f}" width="{thick:.1f}" height="{height:.1f}" '
                    f'fill="currentColor" opacity=".75"><title>{span}: {count} pixels</title></rect>')
    labels = {0: f"{counts[0][0]:g}", len(counts) // 2: "0", len(counts) - 1: f"+{counts[-1][1]:g}"} if len(
        counts) > 1 else {0: "0"}
    for place, text in labels.items():
        bars.append(f'<text x="{left + step * (place + 0.5):.1f}" y="214" text-anchor="middle">{text}</text>')
    middle = counts[len(counts) // 2]
    zero = "0" if middle[0] == middle[1] else f"{middle[0]:g} to {middle[1]:g}"
    scale = " (heights: square root)" if len(counts) > 1 else ""
    return ('<svg viewBox="0 0 240 240" role="img" aria-label="Histogram of errors" font-size="11" '
            'fill="currentColor" font-family="inherit"><text x="120" y="20" text-anchor="middle" '
            f'font-size="12">{percent(middle[2] / total)} of pixels at {zero}</text>'
            f'<line x1="{left}" x2="{width - left}" y1="{floor}" y2="{floor}" stroke="currentColor" '
            f'opacity=".4"/>{"".join(bars)}<text x="120" y="232" text-anchor="middle" opacity=".7">'
            f'error in stored units{scale}</text></svg>')


def colour(name: str) -> str:
    """CSS class of a contender; unknown names share one."""
    return name if name in KNOWN else "other"


def share_bar(shares: Mapping[str, float]) -> str:
    """A stacked bar of contender -> share."""
    parts = "".join(f'<i class="{colour(name)}" style="width:{100 * share:.3f}%" '
                    f'title="{escape(name)} {percent(share)}">'
                    '</i>' for name, share in shares.items() if share)
    return f'<div class="bar">{parts}</div>'


def legend(shares: Mapping[str, float]) -> str:
    return '<div class="legend">' + "".join(
        f'<span><i class="{colour(name)}"></i>{escape(CONTENDER_WORDS.get(name, name))} '
        f'<b>{percent(share)}</b></span>' for name, share in shares.items()) + "</div>"


def size_bar(before: int, after: int) -> str:
    """How much of the received size is stored."""
    share = min(1.0, after / before) if before else 0.0
    return f'<div class="bar"><i class="size" style="width:{100 * share:.2f}%"></i></div>'
