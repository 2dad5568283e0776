"""The report as one HTML page without any outside part: style inline, pictures as data URIs, no script.

Every text from a data set passes ``escape``; names and descriptions come from anywhere.
"""

from __future__ import annotations

import math
from base64 import b64encode
from importlib import resources

from dicomnn.report.drawing import escape, histogram, legend, share_bar, size_bar
from dicomnn.report.figures import Figure
from dicomnn.report.html_lossy import lossy_section
from dicomnn.report.quality import Quality
from dicomnn.report.reading import date, grouped, number, person, ratio_text, size
from dicomnn.report.study import (
    InstanceRow,
    SeriesRow,
    StudyReport,
    Totals,
    moment,
    ratio,
    statement,
)

MOST_ROWS = 400
EXACT_WORDS = {"data-set": "every byte", "pixels": "pixels identical, other elements unchanged",
               "bounded": "within the bound", "lossy": "lossy, as promised"}


def render(report: StudyReport) -> str:
    """The page as text (to be written as UTF-8)."""
    study = report.study
    title = study.study_description or f"Study {study.study_instance_uid}"
    css = resources.files("dicomnn.report").joinpath("style.css").read_text(encoding="utf-8")
    body = "".join((
        _head(report, title), _verdict(report), _cards(report.totals), _completeness(report),
        _conflicts(report),
        _series(report), lossy_section(report), _pictures(report), _kept(report),
        _contenders(report.totals), _words(report),
        _foot(report)))
    return ("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
            "<meta http-equiv=\"Content-Security-Policy\" "
            "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
            f"<title>Quality report: {escape(title)}</title><style>{css}</style></head>"
            f"<body><main>{body}</main></body></html>\n")


# ---------------------------------------------------------------- the parts, from top to bottom
def _head(report: StudyReport, title: str) -> str:
    study = report.study
    birth = ", ".join(part for part in (date(study.patient_birth_date), study.patient_sex) if part)
    entries = (("Patient", person(study.patient_name)), ("Patient ID", study.patient_id),
               ("Born, sex", birth), ("Study date", date(study.study_date)),
               ("Accession number", study.accession_number),
               ("Written", moment(report.created_at)))
    facts = "".join(f"<div><dt>{label}</dt><dd>{escape(text)}</dd></div>" for label, text in entries if text)
    return (f'<header><div><div class="kicker">Quality report</div><h1>{escape(title)}</h1>'
            f'<span class="uid">{escape(study.study_instance_uid)}</span></div></header><dl class="facts">'
            f'{facts}</dl>')


def _verdict(report: StudyReport) -> str:
    totals = report.totals
    coded, quality = totals.states.get("coded", 0), totals.quality
    changed = quality["measured"] + quality["bound"]
    promised = totals.lossy.get("kept", 0)
    if promised:
        lossy = max(changed, promised)
        style, head = "note", f"Lossy: the values of {lossy} of {totals.instances} objects have changed"
    elif changed:
        style, head = "note", f"Changed within a fixed bound: {changed} of {totals.instances} objects"
    elif coded and quality["digest"] < coded:
        style, head = "note", "For some images no quality was recorded"
    elif totals.waiting and not coded:
        style, head = "note", "Stored as received; coding has not been done yet"
    else:
        pixels_only = any(row.exact == "pixels" for series in report.series for row in series.instances)
        style, head = "verdict", ("Every image comes back exactly, pixel for pixel" if pixels_only
                                  else "Every image comes back exactly as it was received, bit for bit")
    return f'<div class="box {style}"><strong>{head}</strong>{escape(statement(totals))}</div>'


def _cards(totals: Totals) -> str:
    saved = 1 - totals.bytes_after / totals.bytes_before if totals.bytes_before else 0.0
    states = ", ".join(f"{count} {state}" for state, count in totals.states.items())
    cards = [(ratio_text(totals.ratio), "smaller in the archive" if saved > 0 else "size kept",
              f"{saved:.0%} of the space saved".replace("%", " %")),
             (size(totals.bytes_before), "received", f"{grouped(totals.bytes_before)} bytes"),
             (size(totals.bytes_after), "stored now", f"{grouped(totals.bytes_after)} bytes"),
             (str(totals.instances), "image object" + ("s" if totals.instances != 1 else ""), states)]
    if totals.bits_per_pixel is not None:
        cards.append((number(totals.bits_per_pixel), "bits per pixel",
                      f"coded in {number(totals.seconds, 1)} s, check included" if totals.seconds
                      else "of the coded image data"))
    return '<div class="cards">' + "".join(
        f'<div class="box"><b>{escape(head)}</b>{escape(text)}<span>{escape(more)}</span></div>'
        for head, text, more in cards) + "</div>"


def _completeness(report: StudyReport) -> str:
    sentences = (report.completeness.sentence(), *report.notes)
    return "<h2>Is this all of the study?</h2>" + "".join(f"<p>{escape(text)}</p>" for text in sentences)


def _conflicts(report: StudyReport) -> str:
    if not report.conflicts:
        return ""
    rows = "".join(
        f'<tr><td><span class="uid">{escape(conflict.sop_instance_uid)}</span></td><td>'
        f'{escape(moment(conflict.time))}</td>'
        f'<td>{escape(conflict.calling_ae_title)}</td>'
        f'<td class="number">{"–" if conflict.bytes is None else conflict.bytes}</td>'
        f'<td><span class="uid">{escape(conflict.digest)}</span></td></tr>' for conflict in report.conflicts)
    return ('<h2>Conflicts</h2><div class="box bad"><strong>One UID, different content</strong>'
            '<p>A UID must belong to one object only. Another object came with a UID that was already taken '
            'and with '
            'other bytes. The first one stays the image of this study; the bytes of the other one are kept '
            'aside, '
            'nothing was overwritten. The sender must give one of the two a UID of its own.</p><div '
            'class="scroll">'
            '<table><thead><tr><th>SOP Instance UID</th><th>arrived</th><th>from</th><th class="number">'
            'bytes</th>'
            f'<th>digest of the other object</th></tr></thead><tbody>{rows}</tbody></table></div></div>')


def _series(report: StudyReport) -> str:
    rows = "".join(_totals_row(_series_name(series), series.totals) for series in report.series)
    foot = _totals_row("Whole study", report.totals) if len(report.series) > 1 else ""
    head = ('<th>Series</th><th class="number">objects</th><th class="number">received</th><th '
            'class="number">stored</th>'
            '<th>stored of received</th><th class="number">ratio</th><th class="number">bits per pixel</th>'
            f'{_QUALITY_HEAD}')
    details = "".join(_instances(series) for series in report.series)
    return (f'<h2>Series</h2><div class="box"><div class="scroll"><table><thead><tr>{head}</tr></thead>'
            f'<tbody>{rows}</tbody><tfoot>{foot}</tfoot></table></div>{details}</div>')


_QUALITY_HEAD = ('<th class="number">largest error</th><th class="number">MSE</th><th class="number">PSNR, '
                 'dB<br>full '
                 'range</th><th class="number">PSNR, dB<br>window</th><th class="number">SSIM</th>')


def _series_name(series: SeriesRow) -> str:
    lead = " ".join(part for part in (series.modality, "" if series.series_number is None
                                      else f"series {series.series_number}") if part)
    return ": ".join(part for part in (lead, series.series_description) if part) or "Series"


def _totals_row(name: str, totals: Totals) -> str:
    figures = totals.quality
    infinite = math.inf if figures["identical"] else None
    quality = Quality("", mse=figures["mse"], psnr_db=infinite or figures["psnr_db"],
                      psnr_window_db=infinite or figures["psnr_window_db"], ssim=figures["ssim"],
                      max_error=figures["max_error"], max_error_rescaled=figures["max_error_rescaled"],
                      unit=figures["unit"])
    known = figures["digest"] + figures["measured"] + figures["bound"]
    return (f'<tr><td>{escape(name)}</td><td class="number">{totals.instances}</td>'
            f'<td class="number">{size(totals.bytes_before)}</td><td class="number">'
            f'{size(totals.bytes_after)}</td>'
            f'<td>{size_bar(totals.bytes_before, totals.bytes_after)}</td>'
            f'<td class="number">{ratio_text(totals.ratio)}</td><td class="number">'
            f'{number(totals.bits_per_pixel)}</td>'
            f'{_quality_cells(quality if known else None)}</tr>')


def _quality_cells(quality: Quality | None) -> str:
    if quality is None:
        return '<td class="number">–</td>' * 5
    error = number(quality.max_error, 0)
    if quality.max_error_rescaled is not None:
        error += f" ({number(quality.max_error_rescaled)} {escape(quality.unit)})"
    if quality.basis == "bound":
        error = f"≤ {error}"
    return "".join(f'<td class="number">{text}</td>' for text in (
        error, number(quality.mse, 4), number(quality.psnr_db), number(quality.psnr_window_db),
        number(quality.ssim, 6)))


def _instances(series: SeriesRow) -> str:
    shown = series.instances[:MOST_ROWS]
    left = len(series.instances) - len(shown)
    more = f"<p class=\"soft\">{left} more objects stand in the JSON file of this report.</p>" if left else ""
    head = ('<th class="number">No.</th><th>Object</th><th>Image</th><th>State</th><th class="number">'
            'received</th>'
            '<th class="number">stored</th><th class="number">ratio</th><th class="number">bits per<br>'
            'pixel</th>'
            f'{_QUALITY_HEAD}<th class="number">time</th>')
    rows = "".join(_instance(row) for row in shown)
    return (f"<details><summary>{escape(_series_name(series))}: each object</summary>"
            f'<span class="uid">{escape(series.series_instance_uid)}</span><div class="scroll"><table>'
            '<thead><tr>'
            f'{head}</tr></thead><tbody>{rows}</tbody></table></div>{more}</details>')


def _instance(row: InstanceRow) -> str:
    image = "–"
    if row.rows and row.columns:
        image = f"{row.columns} × {row.rows}" + (f" × {row.frames}" if (row.frames or 1) > 1 else "")
        if row.bits_stored:
            image += f"<br><small>{row.bits_stored} bits{', signed' if row.signed else ''}</small>"
    parts = (row.profile, EXACT_WORDS.get(row.exact, row.exact), row.reason)
    about = " · ".join(part for part in parts if part)
    after = "–" if row.state == "deleted" else size(row.stored)
    fraction = "–" if row.state == "deleted" else ratio_text(ratio(row.bytes_before, row.stored))
    note = f"<small>{escape(row.note)}</small>" if row.note else ""
    return (f'<tr><td class="number">{"–" if row.instance_number is None else row.instance_number}</td>'
            f'<td>{escape(row.sop_class_name or row.sop_class_uid)}'
            f'<span class="uid">{escape(row.sop_instance_uid)}</span>{note}</td><td>{image}</td>'
            f'<td><span class="tag {escape(row.state)}">{escape(row.state)}</span><br><small>{escape(about)}'
            '</small></td>'
            f'<td class="number">{size(row.bytes_before)}</td><td class="number">{after}</td>'
            f'<td class="number">{fraction}</td><td class="number">{number(row.bits_per_pixel)}</td>'
            f'{_quality_cells(row.quality)}<td class="number">'
            f'{number(row.seconds)}{" s" if row.seconds else ""}</td></tr>')


def _pictures(report: StudyReport) -> str:
    names = {series.series_instance_uid: _series_name(series) for series in report.series}
    marks = {row.sop_instance_uid: _mark(row) for series in report.series for row in series.instances}
    drawn = "".join(_figure(figure, names.get(figure.series_instance_uid, ""),
                            marks.get(figure.sop_instance_uid, "")) for figure in report.figures)
    return f"<h2>Pictures</h2>{drawn}" if drawn else ""


_ROLES = {"only": "the only image of the series", "worst": "the frame that came out "
                                                           "worst", "hardest": "the frame that was hardest "
                                                                               "to make small",
          "middle": "the frame in the middle of the series"}


def _mark(row: InstanceRow) -> str:
    """'lossy 8.1:1', laid over what comes back; '' of what is exact."""
    if row.exact not in ("bounded", "lossy"):
        return ""
    return "lossy" if row.loss_ratio is None else f"lossy {row.loss_ratio:.1f}".removesuffix(".0") + ":1"


def _figure(figure: Figure, series: str, lossy: str) -> str:
    def picture(label: str, data: bytes, alt: str, mark: str = "") -> str:
        encoded = b64encode(data).decode("ascii")
        over = f'<b class="mark">{mark}</b>' if mark else ""
        return (f'<div><span>{label}</span><div class="marked"><img alt="{alt}" '
                f'src="data:image/png;base64,{encoded}">{over}</div></div>')

    heading = ", ".join(part for part in (series, figure.title) if part)
    shrunk = (f" Pictures are shown at 1/{figure.shrink} of the size; in the third, each point shows the "
              "largest error of the pixels behind it."
              if figure.shrink > 1 else "")
    if figure.identical:
        pixels = grouped(figure.rows * figure.columns)
        proof = ("The archive has checked by a digest (a fingerprint of all pixels) that the image it gives "
                 "back is the "
                 "one it received, so both pictures are drawn from the image as it comes back."
                 if figure.by_digest else "Every pixel was compared.")
        text = (f"<b>No difference.</b> The third picture is black because not one of the {pixels} pixels "
                "has changed; "
                f"the histogram has a single bar, at error 0. {proof}{shrunk}")
        amplified = "Difference: none"
    else:
        text = (f"The largest error of this frame is {figure.max_error} stored units. In the third picture "
                "black means no "
                "difference, orange that the value that comes back is larger, blue that it is smaller; "
                "errors are "
                f"amplified {number(figure.amplification, 1)} times, so that full colour is "
                f"{figure.max_error}.{shrunk}")
        amplified = f"Difference, amplified {number(figure.amplification, 1)} ×"
    return (f'<figure class="box"><h3>{escape(heading)}</h3><small>'
            f'{_ROLES.get(figure.role, escape(figure.role))}'
            f', frame {figure.frame}, {figure.columns} × {figure.rows} pixels</small>'
            f'<div class="pictures">{picture("Original", figure.original_png, "original")}'
            f'{picture("As it comes back", figure.decoded_png, "reconstruction", lossy)}'
            f'{picture(amplified, figure.difference_png, "difference")}'
            f'<div><span>How many pixels have which error</span>{histogram(figure.histogram)}</div></div>'
            f'<figcaption class="soft">{text}</figcaption></figure>')


def _kept(report: StudyReport) -> str:
    rows = [row for series in report.series for row in series.instances if row.state == "kept"]
    if not rows:
        return ""
    groups: dict[tuple[str, str], list[InstanceRow]] = {}
    for row in rows:
        groups.setdefault((row.reason, row.reason_text), []).append(row)
    lines = "".join(
        f'<tr><td>{escape(text or reason)}<br><small>{escape(reason)}</small></td>'
        f'<td class="number">{len(group)}</td><td class="number">'
        f'{size(sum(row.bytes_before for row in group))}</td>'
        f'<td>{escape(", ".join(sorted({row.sop_class_name or row.sop_class_uid for row in group})))}</td>'
        '</tr>'
        for (reason, text), group in groups.items())
    return ('<h2>What was kept as received, and why</h2><div class="box"><p>Keeping is a normal outcome: '
            'these objects '
            'are stored byte for byte as they came.</p><table><thead><tr><th>Why</th><th class="number">'
            'objects</th>'
            f'<th class="number">size</th><th>Kind</th></tr></thead><tbody>{lines}</tbody></table></div>')


def _contenders(totals: Totals) -> str:
    shares = totals.tile_shares()
    if not shares:
        return ""
    profiles = ", ".join(f"{name} ({count})" for name, count in totals.profiles.items() if name)
    models = ", ".join(totals.models) or "none needed"
    return ('<h2>How the images were coded</h2><div class="box"><p>Images are cut into tiles; in each tile '
            'several '
            f'methods compete and the smallest result is kept. Of {sum(totals.tiles.values())} tiles:</p>'
            f'{share_bar(shares)}{legend(shares)}<p class="soft">Profile: {escape(profiles) or "–"}. '
            f'Model: {escape(models)}.</p></div>')


def _words(report: StudyReport) -> str:
    ranges = sorted({row.quality.psnr_max for series in report.series for row in series.instances
                     if row.quality is not None and row.quality.psnr_max})
    stated = f" Here MAX is {' or '.join(str(value) for value in ranges)}." if ranges else ""
    entries = (
        ("Largest error", "The most by which any pixel differs, in the units that are stored in the file, "
                          "and in "
         "Hounsfield units (HU) for CT. 0 means that nothing has changed."),
        ("MSE", "Mean squared error: the average of the squared differences of all pixels, in stored units."),
        ("PSNR", "Peak signal-to-noise ratio in decibels: how far the error lies below the largest possible "
                 "value MAX. "
         f"Full range: MAX is 2^BitsStored - 1.{stated} Window: values are first limited to the clinical "
         "window of the "
         "image (or to its 1st to 99th percentile when it names none), and MAX is the width of that window. "
         "∞ means "
         "that there is no error."),
        ("SSIM", "Structural similarity on squares of 7 x 7 pixels, over the range of values of each frame, "
         "from 0 to 1; 1 means identical."),
        ("Sums", "For a series or a study MSE is the mean over all pixels; the other figures are those of "
                 "the worst "
         "image."),
        ("Digest", "A fingerprint (SHA-256) of the data. Equal fingerprints mean equal data: that is how an "
                   "exact "
         "return is proven without looking at the pixels."),
        ("Ratio, bits per pixel", "Received bytes over stored bytes, whole files; and bits of the coded "
                                  "image data "
         "per pixel."),
    )
    return "<h2>What the words mean</h2><div class=\"box\"><dl class=\"words\">" + "".join(
        f"<dt>{escape(word)}</dt><dd>{escape(text)}</dd>" for word, text in entries) + "</dl></div>"


def _foot(report: StudyReport) -> str:
    return (f"<footer>Written by dicomnn {escape(report.library_version)}, "
            f"{escape(moment(report.created_at))}. "
            "The report is written again when the study grows. The same figures, with every object, stand "
            "in the "
            "JSON file beside this page.</footer>")
