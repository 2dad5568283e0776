"""README's picture of the lossy tier: a made CT slice, ours at a promised ratio, the difference.

    make lossy-picture        writes docs/lossy-triple.png, and the caption between README's marks

The ratio stays below the cap for CT of the strictest guideline; it counts Bits Stored. Every figure of the
caption is computed here, from the bytes of the whole payload and from what they decode to.
"""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

import numpy as np
import pydicom

from dicomnn.benchmark.lossy import container_bytes
from dicomnn.benchmark.lossy_peers import at_size, lossy_peer
from dicomnn.benchmark.lossy_plots import figure_of
from dicomnn.benchmark.lossy_points import shown
from dicomnn.benchmark.pages import fill
from dicomnn.benchmark.promises import CAPS, similarity
from dicomnn.codec.distortion import max_error, mse, psnr
from dicomnn.codec.lossy.payload import build, decode
from dicomnn.codec.lossy.promise import Promise, Scale, keep
from dicomnn.errors import DicomnnError
from dicomnn.shelf import default_lossy_shelf

CHECKOUT = Path(__file__).resolve().parent.parent
COMMAND = "make lossy-picture"
SAMPLE = "sample_data/ct_thorax/ct_04.dcm"
SHARE = 0.98  # of the cap: what keeps a ratio is a little smaller than was promised


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--page", type=Path, default=CHECKOUT / "README.md")
    parser.add_argument("--picture", type=Path, default=CHECKOUT / "docs" / "lossy-triple.png")
    arguments = parser.parse_args()

    dataset = pydicom.dcmread(CHECKOUT / SAMPLE)
    stored = dataset.pixel_array.astype(np.int64)
    least, bits = int(stored.min()), int(dataset.BitsStored)
    plane = (stored - least).astype(np.uint16)
    model, promise = default_lossy_shelf().newest(), Promise("ratio", SHARE * CAPS["CT"])
    scale = Scale(2.0**bits - 1, overhead=container_bytes([plane], model), allocated=bits // 8)
    kept = keep(promise, plane, model, scale)
    if kept is None:
        raise DicomnnError(f"{SAMPLE} cannot be coded with {promise}")
    payload = build([kept.stream], [kept.plane], model)
    decoded = decode(payload, default_lossy_shelf().get)[0]

    half, slope = (dataset.WindowWidth - 1) / 2, float(dataset.RescaleSlope)
    middle = (dataset.WindowCenter - 0.5 - float(dataset.RescaleIntercept)) / slope - least
    window = (middle - half / slope, middle + half / slope)
    ratio, span = plane.size * bits / 8 / len(payload), float(int(plane.max()))
    if ratio > CAPS["CT"]:
        raise DicomnnError(f"{SAMPLE} became smaller than the cap of {CAPS['CT']:g} allows: {ratio:.3f}")
    draw(plane, decoded, window, arguments.picture, slope, f"dicomnn, ratio {ratio:.2f}")
    seen = [shown(one, window).astype(np.float64) for one in (plane, decoded)]
    peer = lossy_peer("jpeg2000")
    stream, _ = at_size(peer, plane, len(payload))
    theirs = peer.decode(stream, plane)
    text = (
        f"A made CT slice of `sample_data/` (no person) with `{promise}` (the strictest guideline allows CT "
        f"of the body {CAPS['CT']:g}): {plane.size * bits // 8} bytes of pixels ({bits} bits stored) in "
        f"{len(payload)}, ratio {ratio:.2f}, {8 * len(payload) / plane.size:.2f} bits a pixel. Largest error "
        f"{max_error(plane, decoded) * slope:g} HU, root of the mean square "
        f"{mse(plane, decoded) ** 0.5 * slope:.2f} HU; PSNR {psnr(plane, decoded, span):.1f} dB (MAX: the "
        f"frame's range of {span:.0f}), SSIM {similarity(*seen, 255.0):.4f} in the window shown (centre "
        f"{dataset.WindowCenter:g}, width {dataset.WindowWidth:g}). JPEG 2000 in {len(stream)} bytes: "
        f"{max_error(plane, theirs) * slope:g} HU at most, {psnr(plane, theirs, span):.1f} dB. Made by "
        f"`{COMMAND}`."
    )
    place = arguments.picture.resolve()
    if place.is_relative_to(arguments.page.resolve().parent):
        place = place.relative_to(arguments.page.resolve().parent)
    fill(arguments.page, COMMAND, f"![Original, ours at {promise}, difference]({place})\n\n{wrapped(text)}")
    print(text)


def wrapped(text: str) -> str:
    """Lines of 120 characters at most."""
    return "\n".join(textwrap.wrap(text, 120, break_long_words=False, break_on_hyphens=False))


def draw(
    plane: np.ndarray,
    decoded: np.ndarray,
    window: tuple[float, float],
    path: Path,
    slope: float,
    name: str,
) -> None:
    """Original, ours, difference in units of the Modality LUT, side by side."""
    difference = (decoded.astype(np.int64) - plane) * slope
    reach = float(np.abs(difference).max())
    figure = figure_of(12.0, 4.1)
    panels = figure.subplots(1, 3)
    for panel, values, title in (
        (panels[0], plane, "original"),
        (panels[1], decoded, f"LOSSY: {name}"),
    ):
        panel.imshow(shown(values, window), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        panel.set_title(title, fontsize=11)
    drawn = panels[2].imshow(difference, cmap="RdBu", vmin=-reach, vmax=reach, interpolation="nearest")
    panels[2].set_title("difference, HU", fontsize=11)
    figure.colorbar(drawn, ax=panels[2], shrink=0.85)
    for panel in panels:
        panel.set_axis_off()
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
