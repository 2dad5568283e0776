"""The attributes that a query may name, level by level (PS3.4 C.6.1 and C.6.2).

Tags and VRs come from pydicom's dictionary; the attribute's name is its keyword in snake case, as in
`attributes.py`, which reads the values of the same names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

from pydicom.datadict import dictionary_VR, tag_for_keyword


class Level(IntEnum):
    """Query/Retrieve Level (0008,0052), from the top."""

    PATIENT = 0
    STUDY = 1
    SERIES = 2
    IMAGE = 3


UNIQUE_KEYS = {Level.PATIENT: "patient_id", Level.STUDY: "study_instance_uid",
               Level.SERIES: "series_instance_uid", Level.IMAGE: "sop_instance_uid"}


@dataclass(frozen=True)
class Key:
    """One attribute: `returned` alone means that a value in the request is not matched.

    `items`: of a sequence, the attributes of its items that are kept.
    """

    keyword: str
    attribute: str
    tag: int
    vr: str
    level: Level
    returned_only: bool = False
    items: tuple[Key, ...] = ()


_KEYWORDS = {
    Level.PATIENT: """
        PatientName PatientID IssuerOfPatientID PatientBirthDate PatientBirthTime PatientSex OtherPatientIDs
        OtherPatientNames EthnicGroup PatientComments
        NumberOfPatientRelatedStudies NumberOfPatientRelatedSeries NumberOfPatientRelatedInstances""",
    Level.STUDY: """
        StudyInstanceUID StudyDate StudyTime AccessionNumber StudyID StudyDescription ReferringPhysicianName
        NameOfPhysiciansReadingStudy AdmittingDiagnosesDescription PatientAge PatientSize PatientWeight
        Occupation AdditionalPatientHistory ProcedureCodeSequence
        ModalitiesInStudy SOPClassesInStudy NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances""",
    Level.SERIES: """
        SeriesInstanceUID Modality SeriesNumber SeriesDescription SeriesDate SeriesTime BodyPartExamined
        Laterality ProtocolName PerformingPhysicianName OperatorsName Manufacturer ManufacturerModelName
        StationName InstitutionName InstitutionalDepartmentName PerformedProcedureStepStartDate
        PerformedProcedureStepStartTime PerformedProcedureStepID PerformedProcedureStepDescription
        RequestAttributesSequence NumberOfSeriesRelatedInstances""",
    Level.IMAGE: """
        SOPInstanceUID SOPClassUID InstanceNumber ImageType AcquisitionDate AcquisitionTime AcquisitionNumber
        ContentDate ContentTime NumberOfFrames Rows Columns BitsAllocated
        ImageComments ContentLabel ContentDescription CompletionFlag VerificationFlag
        ConceptNameCodeSequence""",
}
_CODE = "CodeValue CodingSchemeDesignator CodeMeaning"
_ITEMS = {
    "ProcedureCodeSequence": _CODE,
    "ConceptNameCodeSequence": _CODE,
    "RequestAttributesSequence": "ScheduledProcedureStepID RequestedProcedureID AccessionNumber "
                                 "RequestedProcedureDescription ScheduledProcedureStepDescription",
}
_COUNTS = re.compile(r"NumberOf\w+Related\w+")


def attribute_name(keyword: str) -> str:
    """A DICOM keyword in snake case: SOPInstanceUID -> sop_instance_uid."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", keyword)
    return spaced.lower().replace("i_ds", "ids")    # plurals: PatientIDs


def _key(keyword: str, level: Level) -> Key:
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return Key(keyword, attribute_name(keyword), int(tag), dictionary_VR(tag), level,
               returned_only=_COUNTS.fullmatch(keyword) is not None,
               items=tuple(_key(name, level) for name in _ITEMS.get(keyword, "").split()))


KEYS: dict[int, Key] = {
    key.tag: key
    for level, names in _KEYWORDS.items() for key in (_key(name, level) for name in names.split())
}
BY_ATTRIBUTE: dict[str, Key] = {key.attribute: key for key in KEYS.values()}
