"""Phantom anatomy and the physics of its acquisition: CT, MR and digital radiography.

Everything here gives stored values as integer arrays; nothing knows DICOM. Random numbers come from
``numpy.random.RandomState``, the one generator whose streams NumPy promises never to change, so that
the made files can be compared byte for byte. Lengths are in mm, z grows towards the head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import RandomState
from scipy import ndimage


@dataclass(frozen=True)
class Ellipsoid:
    """A solid that replaces what it covers: centre and half axes (x, y, z) in mm, tilt in degrees."""

    value: float
    centre: tuple[float, float, float]
    axes: tuple[float, float, float]
    tilt: float = 0.0


def rasterise(
    solids: list[Ellipsoid],
    background: float,
    size: int,
    spacing: float,
    z: float,
    thickness: float,
    *,
    in_plane: int = 3,
    across: int = 4,
) -> np.ndarray:
    """One slice (size, size) float64 with partial volume.

    Each pixel is the mean of ``in_plane**2`` points in the plane on ``across`` planes through the slice.
    """
    fine = size * in_plane
    axis = ((np.arange(fine) + 0.5) / in_plane - size / 2) * spacing
    total = np.zeros((size, size))
    for plane in range(across):
        height = z + ((plane + 0.5) / across - 0.5) * thickness
        canvas = np.full((fine, fine), background)
        for solid in solids:
            scale = 1.0 - ((height - solid.centre[2]) / solid.axes[2]) ** 2
            if scale <= 0.0:
                continue
            half_x, half_y = (half * scale**0.5 for half in solid.axes[:2])
            reach = max(half_x, half_y)
            columns = slice(*np.searchsorted(axis, (solid.centre[0] - reach, solid.centre[0] + reach)))
            rows = slice(*np.searchsorted(axis, (solid.centre[1] - reach, solid.centre[1] + reach)))
            x = axis[columns][None, :] - solid.centre[0]
            y = axis[rows][:, None] - solid.centre[1]
            angle = np.deg2rad(solid.tilt)
            along, beside = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
            inside = (along / half_x) ** 2 + (beside / half_y) ** 2 <= 1.0
            canvas[rows, columns][inside] = solid.value
        total += canvas.reshape(size, in_plane, size, in_plane).mean(axis=(1, 3))
    return total / across


# ------------------------------------------------------------------ CT
def thorax(random: RandomState) -> list[Ellipsoid]:
    """A chest in HU: skin and fat, muscle, lungs with vessels, heart, aorta, spine, ribs, table."""
    solids = [
        Ellipsoid(-30, (0, 172, 0), (190, 14, 900)),
        Ellipsoid(-850, (0, 171, 0), (180, 9, 900)),
        Ellipsoid(-105, (0, 8, 0), (170, 118, 500)),
        Ellipsoid(48, (0, 8, 0), (152, 101, 500)),
        Ellipsoid(-95, (0, 6, 0), (144, 94, 480)),
        Ellipsoid(42, (0, 8, 0), (139, 89, 470)),
    ]
    for side in (-1, 1):
        solids += [
            Ellipsoid(-870, (side * 71, 2, 0), (60, 81, 190), side * 6.0),
            Ellipsoid(20, (side * 75, 96, 0), (30, 17, 300), side * -24.0),
            Ellipsoid(430, (side * 92, 84, 8), (26, 4, 120), side * -34.0),
        ]
    solids += [
        Ellipsoid(35, (0, -12, 0), (28, 66, 300)),
        Ellipsoid(-90, (4, -66, 0), (26, 20, 200)),
        Ellipsoid(44, (26, -24, -20), (50, 40, 62), 35.0),
        Ellipsoid(150, (34, -26, -26), (26, 22, 40), 35.0),
        Ellipsoid(160, (28, 52, 0), (12, 12, 400)),
        Ellipsoid(155, (-8, -28, 40), (15, 14, 70)),
        Ellipsoid(-980, (3, 18, 70), (8, 7, 80)),
    ]
    for side in (-1, 1):
        for _ in range(260):
            distance = random.uniform(0.05, 0.95)
            turn = random.uniform(0, 2 * np.pi)
            radius = 0.9 + 3.4 * (1 - distance) ** 1.5
            place = (
                side * (71 - 30 * (1 - distance)) + 48 * distance * np.cos(turn),
                2 + 68 * distance * np.sin(turn),
                random.uniform(-26, 26),
            )
            solids.append(
                Ellipsoid(
                    random.uniform(20, 60),
                    place,
                    (radius * random.uniform(1, 4), radius, random.uniform(2, 14)),
                    float(np.rad2deg(turn)),
                )
            )
    solids += [
        Ellipsoid(520, (0, 68, 0), (19, 16, 500)),
        Ellipsoid(190, (0, 67, 0), (17, 14, 500)),
        Ellipsoid(35, (0, 88, 0), (8.5, 7.5, 500)),
        Ellipsoid(480, (0, 104, 0), (4, 11, 12)),
    ]
    for side in (-1, 1):
        solids += [Ellipsoid(450, (side * 27, 83, 4), (14, 4.5, 9), side * -16.0)]
        for number, turn in enumerate(np.linspace(-72, 70, 9)):
            angle = np.deg2rad(turn)
            place = (side * 148 * np.cos(angle), 8 + 97 * np.sin(angle), (number % 3 - 1) * 9.0)
            tilt = float(np.rad2deg(np.arctan2(97 * np.cos(angle), -side * 148 * np.sin(angle))))
            solids += [Ellipsoid(600, place, (15, 4.6, 8), tilt), Ellipsoid(220, place, (12.5, 2.6, 6), tilt)]
    return solids


def head(random: RandomState) -> list[Ellipsoid]:
    """A head in HU: scalp, skull with diploe, brain with sulci, ventricles, a calcification, head rest."""
    solids = [
        Ellipsoid(-60, (0, 112, 0), (88, 10, 500)),
        Ellipsoid(-940, (0, 108, 0), (86, 9, 500)),
        Ellipsoid(-70, (0, 0, 0), (80, 100, 95)),
        Ellipsoid(45, (0, 0, 0), (78, 98, 93)),
        Ellipsoid(1250, (0, 0, 0), (74, 94, 89)),
        Ellipsoid(520, (0, 0, 0), (71.5, 91.5, 86)),
        Ellipsoid(1150, (0, 0, 0), (70, 90, 85)),
        Ellipsoid(8, (0, 0, 0), (67, 87, 82)),
        Ellipsoid(38, (0, 0, 0), (64.5, 84.5, 80)),
    ]
    for _ in range(90):
        turn, depth = random.uniform(0, 2 * np.pi), random.uniform(0.78, 0.97)
        place = (62 * depth * np.cos(turn), 80 * depth * np.sin(turn), random.uniform(10, 34))
        solids.append(
            Ellipsoid(
                random.uniform(5, 14),
                place,
                (random.uniform(3, 7), random.uniform(0.5, 1.1), 16),
                float(np.rad2deg(turn)) + random.uniform(-25, 25),
            )
        )
    for side in (-1, 1):
        solids += [
            Ellipsoid(28, (side * 28, -2, 20), (24, 62, 40), side * 6.0),
            Ellipsoid(6, (side * 10, -20, 22), (5, 22, 16), side * -14.0),
            Ellipsoid(6, (side * 17, 32, 20), (5, 18, 16), side * 22.0),
            Ellipsoid(40, (side * 24, -6, 14), (9, 17, 18), side * -24.0),
        ]
    return solids + [
        Ellipsoid(60, (0, -60, 22), (0.9, 25, 40)),
        Ellipsoid(60, (0, 58, 22), (0.9, 26, 40)),
        Ellipsoid(180, (17, 40, 20), (2.2, 3, 4)),
        Ellipsoid(110, (0, 24, 16), (2.5, 2.5, 4)),
    ]


def _radial_frequency(size: int) -> np.ndarray:
    """Frequency of each 2-D FFT bin in cycles per pixel, (size, size)."""
    axis = np.fft.fftfreq(size)
    return np.hypot(axis[:, None], axis[None, :])


def ct_slice(
    anatomy: np.ndarray, random: RandomState, *, noise_hu: float, cutoff: float, edge: float
) -> np.ndarray:
    """HU (size, size) as a scanner reconstructs it, before rounding.

    Noise has the spectrum of filtered back projection, ramp times kernel, and grows where the rays
    cross more matter. ``cutoff`` (cycles per pixel) is where the kernel ends, ``edge`` its enhancement.
    """
    size = anatomy.shape[0]
    frequency = _radial_frequency(size)
    kernel = np.where(frequency < cutoff, np.cos(0.5 * np.pi * np.minimum(frequency / cutoff, 1.0)) ** 2, 0.0)
    kernel = kernel * (1.0 + edge * (frequency / cutoff) ** 2)
    image = np.fft.ifft2(np.fft.fft2(anatomy) * kernel).real
    noise = np.fft.ifft2(
        np.fft.fft2(random.standard_normal(anatomy.shape)) * np.sqrt(frequency) * kernel
    ).real
    matter = ndimage.gaussian_filter(np.clip(anatomy + 1000.0, 0.0, 2000.0) / 1000.0, size / 9.0)
    noise *= noise_hu / noise.std() * np.exp(0.9 * (matter - 1.0))
    return image + noise


def circle(size: int) -> np.ndarray:
    """True inside of the reconstructed field of view, (size, size) bool."""
    axis = np.arange(size) - (size - 1) / 2
    return axis[:, None] ** 2 + axis[None, :] ** 2 <= (size / 2) ** 2


# ------------------------------------------------------------------ MR
def brain(random: RandomState, weights: dict[str, float]) -> list[Ellipsoid]:
    """A head for MR; ``weights`` gives the signal of fat, bone, csf, grey, white and muscle."""
    solids = [
        Ellipsoid(weights["fat"], (0, 0, 0), (80, 98, 95)),
        Ellipsoid(weights["muscle"], (0, 0, 0), (77, 95, 92)),
        Ellipsoid(weights["bone"], (0, 0, 0), (74, 92, 89)),
        Ellipsoid(weights["csf"], (0, 0, 0), (68, 86, 83)),
        Ellipsoid(weights["grey"], (0, 0, 0), (66, 84, 81)),
        Ellipsoid(weights["white"], (0, 0, 0), (58, 76, 74)),
    ]
    for _ in range(260):
        turn, depth = random.uniform(0, 2 * np.pi), random.uniform(0.74, 0.96)
        place = (65 * depth * np.cos(turn), 83 * depth * np.sin(turn), random.uniform(-40, 60))
        tissue = "grey" if depth < 0.9 else random.choice(["csf", "grey"])
        solids.append(
            Ellipsoid(
                weights[tissue],
                place,
                (random.uniform(3, 11), random.uniform(0.7, 2.2), random.uniform(8, 25)),
                float(np.rad2deg(turn)) + random.uniform(-40, 40),
            )
        )
    for side in (-1, 1):
        solids += [
            Ellipsoid(weights["grey"], (side * 26, -4, 8), (9, 19, 22), side * -24.0),
            Ellipsoid(weights["grey"], (side * 10, 12, 8), (8, 13, 18), side * 12.0),
            Ellipsoid(weights["csf"], (side * 9, -22, 18), (5, 22, 22), side * -14.0),
            Ellipsoid(weights["csf"], (side * 17, 30, 16), (6, 19, 22), side * 22.0),
        ]
    return solids + [
        Ellipsoid(weights["csf"], (0, 4, 4), (1.6, 16, 14)),
        Ellipsoid(weights["csf"], (0, -56, 20), (1.0, 26, 40)),
        Ellipsoid(weights["csf"], (0, 56, 20), (1.0, 27, 40)),
    ]


def bias_field(size: int, random: RandomState) -> np.ndarray:
    """The smooth sensitivity of a receive coil, (size, size), between about 0.75 and 1.3."""
    axis = np.linspace(-1.0, 1.0, size)
    x, y = axis[None, :], axis[:, None]
    a, b, c, d = random.uniform(-0.12, 0.12, 4)
    return np.exp(a * x + b * y + c * x * y + d * (x * x - y * y) + 0.12 * (x * x + y * y))


def mr_slice(
    signal: np.ndarray,
    random: RandomState,
    *,
    noise: float,
    acquired: int,
    taper: float = 0.0,
    phase: np.ndarray | None = None,
) -> np.ndarray:
    """The complex image (size, size) from ``acquired**2`` samples of k-space, the rest filled with zeros.

    ``noise`` is the standard deviation per real and imaginary part in the image; its magnitude is
    Rician. ``taper`` 0 leaves the edge of k-space hard (ringing), 1 is a Hann window.
    """
    size = signal.shape[0]
    image = signal.astype(complex) if phase is None else signal * np.exp(1j * phase)
    spectrum = np.fft.fftshift(np.fft.fft2(image))
    low, high = (size - acquired) // 2, (size + acquired) // 2
    keep = np.zeros((size, size))
    window = 1.0 - taper * 0.5 * (1.0 - np.cos(2 * np.pi * (np.arange(acquired) + 0.5) / acquired + np.pi))
    keep[low:high, low:high] = window[:, None] * window[None, :]
    scale = noise * size * size / acquired
    spectrum += scale * (random.standard_normal((size, size)) + 1j * random.standard_normal((size, size)))
    return np.fft.ifft2(np.fft.ifftshift(spectrum * keep))


# ------------------------------------------------------------------ projection radiography
def chords(solids: list[tuple[float, Ellipsoid]], rows: int, columns: int, spacing: float) -> np.ndarray:
    """Sum of mu (1/mm) times path length (mm) along y for each ``(mu, ellipsoid)``: (rows, columns) float64.

    The image plane is x (columns) and -z (rows); the ellipsoid's tilt turns it in that plane.
    """
    x = (np.arange(columns) + 0.5 - columns / 2)[None, :] * spacing
    z = -(np.arange(rows) + 0.5 - rows / 2)[:, None] * spacing
    total = np.zeros((rows, columns))
    for mu, solid in solids:
        angle = np.deg2rad(solid.tilt)
        u, v = x - solid.centre[0], z - solid.centre[2]
        along, beside = np.cos(angle) * u + np.sin(angle) * v, np.cos(angle) * v - np.sin(angle) * u
        square = 1.0 - (along / solid.axes[0]) ** 2 - (beside / solid.axes[2]) ** 2
        total += mu * 2.0 * solid.axes[1] * np.sqrt(np.maximum(square, 0.0))
    return total


def chest_solids(random: RandomState) -> list[tuple[float, Ellipsoid]]:
    """A chest for projection: (difference of attenuation in 1/mm at about 70 keV effective, ellipsoid)."""
    solids = [
        (0.0185, Ellipsoid(0, (0, 0, -110), (185, 95, 300))),
        (0.0160, Ellipsoid(0, (0, 0, 200), (56, 50, 110))),
    ]
    for side in (-1, 1):
        solids += [
            (0.0185, Ellipsoid(0, (side * 178, 0, -40), (48, 42, 190), side * -8.0)),
            (-0.0150, Ellipsoid(0, (side * 74, 0, 12), (62, 76, 128), side * 4.0)),
            (0.0130, Ellipsoid(0, (side * 72, 10, -128), (70, 58, 62), side * -6.0)),
            (0.034, Ellipsoid(0, (side * 78, 40, 112), (72, 6.0, 5.5), side * 12.0)),
            (0.010, Ellipsoid(0, (side * 128, -60, 70), (44, 5, 60), side * 16.0)),
        ]
        for rib in range(9):
            height = 105 - 25 * rib
            reach = 70 + 50 * np.sin(np.pi * (rib + 1.5) / 11)
            solids += [
                (
                    0.021,
                    Ellipsoid(
                        0, (side * (30 + reach * 0.52), -55, height), (reach * 0.62, 7, 6.0), side * -13.0
                    ),
                ),
                (
                    0.014,
                    Ellipsoid(
                        0, (side * (42 + reach * 0.45), 60, height - 42), (reach * 0.5, 6, 5.5), side * 27.0
                    ),
                ),
            ]
        for _ in range(170):
            distance = random.uniform(0.05, 1.0)
            turn = random.uniform(-np.pi / 2, np.pi / 2)
            width = 0.8 + 4.2 * (1 - distance) ** 1.4
            place = (side * (30 + 90 * distance * np.cos(turn)), 0, 5 + 105 * distance * np.sin(turn))
            solids.append(
                (
                    0.014,
                    Ellipsoid(
                        0,
                        place,
                        (random.uniform(8, 26), width, width),
                        side * float(np.rad2deg(turn)) + random.uniform(-15, 15),
                    ),
                )
            )
    solids += [
        (0.0145, Ellipsoid(0, (22, 0, -62), (66, 58, 52), -28.0)),
        (0.012, Ellipsoid(0, (4, 10, 45), (30, 34, 90))),
        (0.013, Ellipsoid(0, (34, 0, 52), (16, 16, 16))),
        (-0.014, Ellipsoid(0, (0, 0, 118), (8, 8, 75))),
    ]
    for number in range(17):
        solids += [(0.016, Ellipsoid(0, (0, -50, 185 - 24 * number), (19, 17, 9.6)))]
    return solids


def radiograph(random: RandomState, rows: int, columns: int, spacing: float) -> np.ndarray:
    """Photons per pixel (rows, columns): primary, scatter, quantum noise, scintillator blur, electronics."""
    air = 5200.0
    primary = air * np.exp(-chords(chest_solids(random), rows, columns, spacing))
    small = ndimage.zoom(primary, 0.125, order=1, mode="nearest", grid_mode=True)
    scatter = ndimage.zoom(
        ndimage.gaussian_filter(small, 13.0, mode="nearest"), 8.0, order=1, mode="nearest", grid_mode=True
    )
    expected = primary + 0.35 * scatter[:rows, :columns]
    detected = random.poisson(np.maximum(expected, 0.0)).astype(np.float64)
    detected = ndimage.gaussian_filter(detected, 0.62)
    return np.maximum(detected + random.normal(0.0, 2.5, detected.shape), 1.0)
