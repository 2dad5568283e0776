"""The enhanced multi-frame MR of the made studies (PS3.3 A.36)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from modules import Study, code, pixels, sequence, start, uid, write
from numpy.random import RandomState
from phantoms import bias_field, brain, mr_slice, rasterise
from pydicom import Dataset
from pydicom.uid import EnhancedMRImageStorage

STUDY = Study(
    "mr_multiframe",
    "Phantom^Frames",
    "DEMO-0007",
    "F",
    "19930405",
    "030Y",
    "20240310",
    "111000",
    "DEMO0007",
    "Made-up enhanced multi-frame MR of a brain phantom",
)
DATE_TIME = "20240310111000"
FRAMES, SIZE, SPACING, THICKNESS = 6, 192, 1.2, 4.0
WEIGHTS = {"fat": 1500, "muscle": 520, "bone": 60, "csf": 260, "grey": 820, "white": 1010}


def item(**values: object) -> Dataset:
    data = Dataset()
    for keyword, value in values.items():
        setattr(data, keyword, value)
    return data


def shared_groups() -> Dataset:
    """Functional groups that hold for all frames."""
    return item(
        PixelMeasuresSequence=sequence(
            item(PixelSpacing=[SPACING, SPACING], SliceThickness=THICKNESS, SpacingBetweenSlices=THICKNESS)
        ),
        PlaneOrientationSequence=sequence(item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])),
        FrameAnatomySequence=sequence(
            item(FrameLaterality="U", AnatomicRegionSequence=sequence(code("12738006", "SCT", "Brain")))
        ),
        PixelValueTransformationSequence=sequence(item(RescaleIntercept=0, RescaleSlope=1, RescaleType="US")),
        FrameVOILUTSequence=sequence(item(WindowCenter=520, WindowWidth=1040)),
        MRImageFrameTypeSequence=sequence(
            item(
                FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
                PixelPresentation="MONOCHROME",
                VolumetricProperties="VOLUME",
                VolumeBasedCalculationTechnique="NONE",
                ComplexImageComponent="MAGNITUDE",
                AcquisitionContrast="T1",
            )
        ),
        MRTimingAndRelatedParametersSequence=sequence(
            item(
                RepetitionTime=520.0,
                FlipAngle=90.0,
                EchoTrainLength=1,
                RFEchoTrainLength=1,
                GradientEchoTrainLength=0,
                SpecificAbsorptionRateSequence=sequence(
                    item(SpecificAbsorptionRateDefinition="IEC_WHOLE_BODY", SpecificAbsorptionRateValue=0.5)
                ),
                GradientOutputType="DB_DT",
                GradientOutput=10.0,
                OperatingModeSequence=sequence(
                    item(OperatingModeType="STATIC FIELD", OperatingMode="IEC_NORMAL"),
                    item(OperatingModeType="RF", OperatingMode="IEC_NORMAL"),
                    item(OperatingModeType="GRADIENT", OperatingMode="IEC_NORMAL"),
                ),
            )
        ),
        MREchoSequence=sequence(item(EffectiveEchoTime=12.0)),
        MRFOVGeometrySequence=sequence(
            item(
                InPlanePhaseEncodingDirection="ROW",
                MRAcquisitionFrequencyEncodingSteps=192,
                MRAcquisitionPhaseEncodingStepsInPlane=144,
                PercentSampling=75.0,
                PercentPhaseFieldOfView=100.0,
            )
        ),
        MRModifierSequence=sequence(
            item(
                InversionRecovery="NO",
                FlowCompensation="NONE",
                Spoiling="NONE",
                T2Preparation="NO",
                SpectrallySelectedExcitation="NONE",
                SpatialPresaturation="NONE",
                PartialFourier="NO",
                ParallelAcquisition="NO",
            )
        ),
        MRImagingModifierSequence=sequence(
            item(
                MagnetizationTransfer="NONE",
                BloodSignalNulling="NO",
                Tagging="NONE",
                TransmitterFrequency=63.87,
                PixelBandwidth=180.0,
            )
        ),
        MRReceiveCoilSequence=sequence(
            item(
                ReceiveCoilName="HEAD",
                ReceiveCoilManufacturerName="Made-up Scanners",
                ReceiveCoilType="VOLUME",
                QuadratureReceiveCoil="YES",
            )
        ),
        MRTransmitCoilSequence=sequence(
            item(
                TransmitCoilName="BODY",
                TransmitCoilManufacturerName="Made-up Scanners",
                TransmitCoilType="BODY",
            )
        ),
        MRAveragesSequence=sequence(item(NumberOfAverages=1.0)),
    )


def frame_groups(number: int, z: float) -> Dataset:
    """Functional groups of frame ``number`` (from 1) at ``z`` mm."""
    corner = round(-(SIZE - 1) / 2 * SPACING, 4)
    return item(
        FrameContentSequence=sequence(
            item(
                FrameAcquisitionNumber=1,
                FrameReferenceDateTime=DATE_TIME,
                FrameAcquisitionDateTime=DATE_TIME,
                FrameAcquisitionDuration=60000.0,
                StackID="1",
                InStackPositionNumber=number,
                DimensionIndexValues=[1, number],
            )
        ),
        PlanePositionSequence=sequence(item(ImagePositionPatient=[corner, corner, z])),
    )


def make_mr_multiframe(folder: Path) -> None:
    """One Enhanced MR object: 6 frames of 192x192, unsigned 12 bits in 16, 144x144 zero-filled."""
    random = RandomState(1107)
    solids, coil = brain(RandomState(34), WEIGHTS), bias_field(SIZE, random)
    heights = [(number - (FRAMES - 1) / 2) * THICKNESS + 10.0 for number in range(FRAMES)]
    frames = [
        np.rint(
            np.abs(
                mr_slice(
                    rasterise(solids, 0.0, SIZE, SPACING, z, THICKNESS) * coil,
                    random,
                    noise=24.0,
                    acquired=144,
                    taper=0.25,
                )
            )
        )
        for z in heights
    ]
    data = start(
        STUDY,
        EnhancedMRImageStorage,
        "MR",
        6,
        1,
        series_description="T1 axial enhanced",
        model_name="Coil 15",
    )
    del data.AcquisitionDate, data.AcquisitionTime
    data.AcquisitionDateTime, data.AcquisitionDuration = DATE_TIME, 60.0
    data.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    data.PixelPresentation, data.VolumetricProperties = "MONOCHROME", "VOLUME"
    data.VolumeBasedCalculationTechnique, data.ComplexImageComponent = "NONE", "MAGNITUDE"
    data.AcquisitionContrast, data.BurnedInAnnotation, data.LossyImageCompression = "T1", "NO", "00"
    data.PresentationLUTShape = "IDENTITY"
    data.ContentQualification, data.ResonantNucleus, data.KSpaceFiltering = "RESEARCH", "1H", "HAMMING"
    data.MagneticFieldStrength, data.ApplicableSafetyStandardAgency = 1.5, "IEC"
    data.ApplicableSafetyStandardDescription = "IEC 60601-2-33"
    data.PulseSequenceName, data.MRAcquisitionType, data.EchoPulseSequence = "made_se", "2D", "SPIN"
    data.MultipleSpinEcho, data.MultiPlanarExcitation, data.PhaseContrast = "NO", "NO", "NO"
    data.TimeOfFlightContrast = "NO"
    data.SteadyStatePulseSequence, data.EchoPlanarPulseSequence = "NONE", "NO"
    data.SaturationRecovery, data.SpectrallySelectedSuppression = "NO", "NONE"
    data.GeometryOfKSpaceTraversal, data.SegmentedKSpaceTraversal = "RECTILINEAR", "SINGLE"
    data.RectilinearPhaseEncodeReordering, data.OversamplingPhase = "LINEAR", "NONE"
    data.NumberOfKSpaceTrajectories = 1
    data.BodyPartExamined, data.PatientPosition = "BRAIN", "HFS"
    data.FrameOfReferenceUID, data.PositionReferenceIndicator = uid(f"{STUDY.folder} frame of reference"), ""
    data.SynchronizationFrameOfReferenceUID = uid(f"{STUDY.folder} synchronization")
    data.SynchronizationTrigger, data.AcquisitionTimeSynchronized = "NO TRIGGER", "N"
    data.AcquisitionContextSequence = []
    data.NumberOfFrames = FRAMES
    organisation = uid(f"{STUDY.folder} dimensions")
    data.DimensionOrganizationSequence = sequence(item(DimensionOrganizationUID=organisation))
    data.DimensionIndexSequence = sequence(
        item(
            DimensionOrganizationUID=organisation,
            DimensionIndexPointer=0x00209056,
            FunctionalGroupPointer=0x00209111,
            DimensionDescriptionLabel="Stack",
        ),
        item(
            DimensionOrganizationUID=organisation,
            DimensionIndexPointer=0x00209057,
            FunctionalGroupPointer=0x00209111,
            DimensionDescriptionLabel="Position",
        ),
    )
    data.SharedFunctionalGroupsSequence = sequence(shared_groups())
    data.PerFrameFunctionalGroupsSequence = sequence(
        *(frame_groups(number + 1, z) for number, z in enumerate(heights))
    )
    pixels(data, np.clip(np.stack(frames), 0, 4095).astype(np.int64), bits_stored=12, signed=False)
    write(data, folder / STUDY.folder / "mr_enhanced.dcm")
