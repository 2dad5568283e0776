#!/usr/bin/env python3
"""Make the small studies of this folder: ``python sample_data/make_samples.py [FOLDER]``.

Nothing here comes from a person. The same bytes come out every time; ``tests/sample_data`` compares
them with the committed ones. What each study is for stands in README.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from modules import Study, code, pixels, plane, sequence, start, write
from multiframe import make_mr_multiframe
from numpy.random import RandomState
from phantoms import (
    bias_field,
    brain,
    circle,
    ct_slice,
    head,
    mr_slice,
    radiograph,
    rasterise,
    thorax,
)
from pydicom import Dataset
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
    SecondaryCaptureImageStorage,
)

CT_THORAX = Study(
    "ct_thorax",
    "Phantom^Thora",
    "DEMO-0001",
    "F",
    "19610203",
    "063Y",
    "20240304",
    "101500",
    "DEMO0001",
    "Made-up CT of a chest phantom",
)
CT_HEAD = Study(
    "ct_head",
    "Phantom^Cranio",
    "DEMO-0002",
    "M",
    "19550607",
    "068Y",
    "20240305",
    "093000",
    "DEMO0002",
    "Made-up CT of a head phantom",
)
MR_BRAIN = Study(
    "mr_brain",
    "Phantom^Cerebella",
    "DEMO-0003",
    "F",
    "19880910",
    "035Y",
    "20240306",
    "140000",
    "DEMO0003",
    "Made-up MR of a brain phantom",
)
MR_FLOW = Study(
    "mr_flow_bigendian",
    "Phantom^Flow",
    "DEMO-0004",
    "O",
    "19790101",
    "045Y",
    "20240307",
    "080000",
    "DEMO0004",
    "Made-up MR velocity map",
)
DX_CHEST = Study(
    "dx_chest",
    "Phantom^Pectora",
    "DEMO-0005",
    "M",
    "19701112",
    "053Y",
    "20240308",
    "120500",
    "DEMO0005",
    "Made-up radiograph of a chest phantom",
)
SC_CHART = Study(
    "sc_chart",
    "Phantom^Chart",
    "DEMO-0006",
    "O",
    "20000101",
    "024Y",
    "20240309",
    "160000",
    "DEMO0006",
    "Made-up secondary capture of a test chart",
)


def ct_attributes(
    data: Dataset, *, slope: int, intercept: int, kernel: str, window: tuple[int, int], kvp: int, current: int
) -> None:
    """CT Image module (PS3.3 C.8.2.1)."""
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.KVP, data.XRayTubeCurrent, data.ExposureTime, data.Exposure = kvp, current, 500, current // 2
    data.ConvolutionKernel, data.FilterType, data.GantryDetectorTilt = kernel, "", 0
    data.RescaleSlope, data.RescaleIntercept, data.RescaleType = slope, intercept, "HU"
    data.WindowCenter, data.WindowWidth = window


def make_ct_thorax(folder: Path) -> None:
    """8 slices of 256x256, signed 16 bits, -2000 outside of the reconstructed circle, intercept -1024."""
    random = RandomState(1101)
    solids, size, spacing, thickness = thorax(random), 256, 1.37, 5.0
    outside = ~circle(size)
    for number in range(1, 9):
        z = (number - 4.5) * thickness
        hounsfield = ct_slice(
            rasterise(solids, -1000, size, spacing, z, thickness),
            random,
            noise_hu=13.0,
            cutoff=0.50,
            edge=0.3,
        )
        stored = np.clip(np.rint(hounsfield), -1024, 3071).astype(np.int64) + 1024
        stored[outside] = -2000
        data = start(
            CT_THORAX,
            CTImageStorage,
            "CT",
            2,
            number,
            series_description="Chest 5 mm soft",
            model_name="Ring 8",
        )
        data.BodyPartExamined, data.ReconstructionDiameter, data.DataCollectionDiameter = "CHEST", 350.72, 500
        ct_attributes(data, slope=1, intercept=-1024, kernel="SOFT", window=(40, 400), kvp=120, current=240)
        plane(data, size, spacing, z, thickness, CT_THORAX)
        pixels(data, stored, bits_stored=16, signed=True)
        data.add_new("PixelPaddingValue", "SS", -2000)
        write(data, folder / CT_THORAX.folder / f"ct_{number:02d}.dcm")


def make_ct_head(folder: Path) -> None:
    """2 thin slices of 512x512, unsigned 12 bits, sharp kernel, Implicit VR Little Endian."""
    random = RandomState(1102)
    solids, size, spacing, thickness = head(random), 512, 0.45, 1.0
    for number in (1, 2):
        z = 17.0 + number * thickness
        hounsfield = ct_slice(
            rasterise(solids, -1000, size, spacing, z, thickness, across=2),
            random,
            noise_hu=7.0,
            cutoff=0.50,
            edge=1.1,
        )
        data = start(
            CT_HEAD,
            CTImageStorage,
            "CT",
            3,
            number,
            series_description="Head 1 mm sharp",
            model_name="Ring 8",
        )
        data.BodyPartExamined = "HEAD"
        ct_attributes(data, slope=1, intercept=-1024, kernel="SHARP", window=(40, 80), kvp=120, current=300)
        plane(data, size, spacing, z, thickness, CT_HEAD)
        pixels(
            data,
            np.clip(np.rint(hounsfield), -1024, 3071).astype(np.int64) + 1024,
            bits_stored=12,
            signed=False,
        )
        write(data, folder / CT_HEAD.folder / f"ct_{number:02d}.dcm", ImplicitVRLittleEndian)


def mr_attributes(
    data: Dataset, *, echo_time: float, repetition_time: float, scanning: str, variant: str
) -> None:
    """MR Image module (PS3.3 C.8.3.1)."""
    data.ScanningSequence, data.SequenceVariant, data.ScanOptions = scanning, variant, ""
    data.MRAcquisitionType, data.EchoTime, data.RepetitionTime = "2D", echo_time, repetition_time
    data.EchoTrainLength, data.MagneticFieldStrength, data.FlipAngle = 1, 1.5, 90
    data.NumberOfAverages, data.ImagingFrequency, data.ImagedNucleus = 1, 63.87, "1H"


T1 = {"fat": 3100, "muscle": 1000, "bone": 120, "csf": 420, "grey": 1300, "white": 1750}
T2 = {"fat": 21000, "muscle": 7000, "bone": 900, "csf": 46000, "grey": 17500, "white": 13500}


def make_mr_brain(folder: Path) -> None:
    """T1: 4 of 256x256, unsigned 12 bits, zero-filled from 160x160. T2: 3 of 192x192, unsigned 16 bits."""
    random = RandomState(1103)
    for series, count, size, spacing, acquired, taper, weights, noise, bits in (
        (1, 4, 256, 0.9, 160, 0.35, T1, 42.0, 12),
        (2, 3, 192, 1.2, 192, 0.0, T2, 520.0, 16),
    ):
        solids, coil = brain(RandomState(33), weights), bias_field(size, random)
        for number in range(1, count + 1):
            z = (number - (count + 1) / 2) * 6.0 + 10.0
            signal = rasterise(solids, 0.0, size, spacing, z, 5.0) * coil
            stored = np.rint(np.abs(mr_slice(signal, random, noise=noise, acquired=acquired, taper=taper)))
            contrast = "T1" if series == 1 else "T2"
            data = start(
                MR_BRAIN,
                MRImageStorage,
                "MR",
                series,
                number,
                series_description=f"{contrast} axial",
                model_name="Coil 15",
            )
            data.ImageType, data.BodyPartExamined = ["ORIGINAL", "PRIMARY", "OTHER"], "BRAIN"
            mr_attributes(
                data,
                echo_time=12.0 if series == 1 else 96.0,
                repetition_time=520.0 if series == 1 else 4200.0,
                scanning="SE",
                variant="NONE",
            )
            data.AcquisitionMatrix = [acquired, 0, 0, acquired]
            data.InPlanePhaseEncodingDirection = "ROW"
            plane(data, size, spacing, z, 5.0, MR_BRAIN)
            data.SpacingBetweenSlices = 6.0
            peak = weights["white"] if series == 1 else weights["csf"]
            data.WindowCenter, data.WindowWidth = peak * 5 // 8, peak * 5 // 4
            pixels(data, np.clip(stored, 0, (1 << bits) - 1).astype(np.int64), bits_stored=bits, signed=False)
            write(data, folder / MR_BRAIN.folder / f"{contrast.lower()}_{number:02d}.dcm")


def make_mr_flow(folder: Path) -> None:
    """A velocity map of 160x160, signed 12 bits, noise where there is no signal; Explicit VR Big Endian."""
    random = RandomState(1104)
    size, venc = 160, 150.0
    axis = np.arange(size) - size / 2
    x, y = axis[None, :], axis[:, None]
    magnitude = np.where((x / 62) ** 2 + (y / 48) ** 2 <= 1, 700.0, 0.0) * bias_field(size, random)
    velocity = 0.4 + 0.006 * x
    for centre, radius, peak in (((-14, 6), 11.0, 112.0), ((10, 10), 8.5, -46.0)):
        distance = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / radius**2
        velocity = np.where(distance < 1, peak * (1 - distance), velocity)
        magnitude = np.where(distance < 1, magnitude * 1.4, magnitude)
    image = mr_slice(magnitude, random, noise=26.0, acquired=128, taper=0.2, phase=np.pi * velocity / venc)
    data = start(
        MR_FLOW, MRImageStorage, "MR", 4, 1, series_description="Velocity through plane", model_name="Coil 15"
    )
    data.ImageType, data.BodyPartExamined = ["DERIVED", "PRIMARY", "OTHER"], "CHEST"
    mr_attributes(data, echo_time=3.1, repetition_time=24.0, scanning="GR", variant="SP")
    plane(data, size, 2.1, 0.0, 6.0, MR_FLOW)
    data.WindowCenter, data.WindowWidth = 0, 3600
    pixels(
        data,
        np.clip(np.rint(np.angle(image) / np.pi * 2047), -2047, 2047).astype(np.int64),
        bits_stored=12,
        signed=True,
        big_endian=True,
    )
    write(data, folder / MR_FLOW.folder / "velocity.dcm", ExplicitVRBigEndian)


def make_dx_chest(folder: Path) -> None:
    """One radiograph, 1024x832, MONOCHROME1, unsigned 14 bits: logarithm of the exposure."""
    random = RandomState(1105)
    photons = radiograph(random, 1024, 832, 0.42)
    stored = np.clip(np.rint(16383 * np.log(photons / 8.0) / np.log(1000.0)), 0, 16383).astype(np.int64)
    data = start(
        DX_CHEST,
        DigitalXRayImageStorageForPresentation,
        "DX",
        1,
        1,
        series_description="Chest PA",
        model_name="Panel 43",
    )
    data.ImageType = ["ORIGINAL", "PRIMARY", ""]
    data.PresentationIntentType, data.BodyPartExamined = "FOR PRESENTATION", "CHEST"
    data.ImageLaterality, data.AnatomicRegionSequence = "U", sequence(code("51185008", "SCT", "Chest"))
    data.PatientOrientation, data.KVP, data.Exposure = ["L", "F"], 120, 2
    data.DetectorType, data.DetectorID, data.ImagerPixelSpacing = "SCINTILLATOR", "0000", [0.42, 0.42]
    data.PixelIntensityRelationship, data.PixelIntensityRelationshipSign = "LOG", 1
    data.RescaleSlope, data.RescaleIntercept, data.RescaleType = 1, 0, "US"
    data.PresentationLUTShape, data.LossyImageCompression = "INVERSE", "00"
    data.BurnedInAnnotation, data.AcquisitionContextSequence = "NO", []
    low, high = (int(value) for value in np.percentile(stored, (0.5, 99.0)))
    data.WindowCenter, data.WindowWidth = (low + high) // 2, high - low
    data.ViewPosition, data.PositionerType = "PA", "NONE"
    view = code("399348003", "SCT", "postero-anterior")
    view.ViewModifierCodeSequence = []
    data.ViewCodeSequence = sequence(view)
    pixels(data, stored, bits_stored=14, signed=False, photometric="MONOCHROME1")
    write(data, folder / DX_CHEST.folder / "chest_pa.dcm")


def make_sc_chart(folder: Path) -> None:
    """A test chart of 239x321, 8 bits; the number of pixels is odd, so Pixel Data ends in a padding byte."""
    random = RandomState(1106)
    rows, columns = 239, 321
    chart = np.full((rows, columns), 40)
    for step in range(16):
        chart[20:70, 20 + step * 17 : 34 + step * 17] = step * 17
    y, x = np.mgrid[0:rows, 0:columns]
    chart = np.where((y > 90) & (y < 150), np.where((x // np.maximum(1, 8 - x // 42)) % 2, 220, 30), chart)
    ring = np.hypot(y - 195, x - 160)
    chart = np.where(ring < 32, np.rint(127 + 100 * np.cos(ring * ring / 42.0)).astype(int), chart)
    chart = np.clip(chart + (random.uniform(size=chart.shape) < 0.02), 0, 255)
    data = start(
        SC_CHART,
        SecondaryCaptureImageStorage,
        "OT",
        5,
        1,
        series_description="Test chart",
        model_name="Screen 1",
    )
    data.ImageType, data.ConversionType = ["DERIVED", "SECONDARY"], "SYN"
    data.SecondaryCaptureDeviceManufacturer = "Made-up Scanners"
    data.PatientOrientation, data.Laterality = "", ""
    pixels(data, chart, bits_stored=8, signed=False)
    write(data, folder / SC_CHART.folder / "chart.dcm")


def make_all(folder: Path) -> None:
    """All studies under ``folder``; existing files of the same names are replaced."""
    for make in (
        make_ct_thorax,
        make_ct_head,
        make_mr_brain,
        make_mr_flow,
        make_dx_chest,
        make_mr_multiframe,
        make_sc_chart,
    ):
        make(folder)


if __name__ == "__main__":
    make_all(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent)
