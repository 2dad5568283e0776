"""Every error that dicomnn raises on purpose, in one hierarchy.

A message has three parts: what happened, to which instance or file, and what to do. The class
carries what the outer layers need: ``code`` (stable, in reports, logs and status tables),
``exit_code`` (command line: 1 items failed, 2 usage or configuration) and ``cure`` (the usual
remedy, one sentence). ``scp/dimse/status.py`` maps each code to a DIMSE status.
"""

from __future__ import annotations


class DicomnnError(Exception):
    """Base of all; ``str(error)`` is a sentence for the operator."""

    code = "error"
    exit_code = 1
    cure = "Look at the log for the instance concerned, and report the case if the message is unclear."

    def __init__(self, message: str, *, subject: str | None = None, cure: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.subject = subject
        if cure is not None:
            self.cure = cure

    def __str__(self) -> str:
        about = f"{self.subject}: " if self.subject else ""
        return f"{about}{self.message}"

    def sentence(self) -> str:
        """What happened, to what, and what to do, on one line."""
        happened = str(self)
        return f"{happened}{'' if happened.endswith(('.', '!', '?')) else '.'} What to do: {self.cure}"

    def about(self, subject: str) -> DicomnnError:
        """The same error, naming its instance or file if it did not yet."""
        if self.subject is None:
            self.subject = subject
        return self


# ------------------------------------------------------------------ usage and configuration
class UsageError(DicomnnError):
    code = "usage"
    exit_code = 2
    cure = "Correct the command or the value named in the message."


class ConfigurationError(UsageError):
    code = "configuration"
    cure = "Correct the key named in the message in the configuration file."


# ------------------------------------------------------------------ the codec
class CodecError(DicomnnError):
    code = "codec"


class PayloadError(CodecError):
    """A payload cannot be decoded. ``where`` is 'header' or 'frame F tile T'."""

    code = "payload"
    cure = "Fetch the object again from the archive or from its second copy; do not delete any copy."

    def __init__(self, message: str, *, where: str = "header", subject: str | None = None,
                 cure: str | None = None) -> None:
        super().__init__(message, subject=subject, cure=cure)
        self.where = where


class PayloadTruncated(PayloadError):
    code = "payload-truncated"


class PayloadCorrupt(PayloadError):
    code = "payload-corrupt"


class PayloadImplausible(PayloadError):
    """A claimed size cannot be true for the bytes that are there."""

    code = "payload-implausible"
    cure = "Treat the object as damaged or hostile; restore it from another copy."


class UnsupportedFormatVersion(PayloadError):
    code = "format-version"
    cure = "Install a newer dicomnn: this payload was written by a later version."


class UnknownModel(CodecError):
    code = "unknown-model"
    cure = "Copy the model with this id into models/ (the archive that wrote the object keeps one)."


class ModelCorrupt(CodecError):
    code = "model-corrupt"
    cure = "Replace the model file by an intact copy; its id is the digest of its bytes."


class InexactArithmetic(CodecError):
    """The self-test of the integer networks failed on this machine."""

    code = "inexact-arithmetic"
    cure = "Do not code on this machine; check the versions of torch and numba and report the platform."


class SamplesInvalid(CodecError):
    """The array or its SampleFormat is outside of what the codec takes."""

    code = "samples-invalid"
    cure = "Pass frames as (frames, rows, columns) of uint8 or uint16 with a matching SampleFormat."


class PromiseNotKept(CodecError):
    """No step of the lossy tier keeps what a profile promises."""

    code = "promise-not-kept"
    cure = "Ask for less, or code it with bounded:N or without loss."


# ------------------------------------------------------------------ training
class TrainingError(DicomnnError):
    """A model could not be trained, checked or measured."""

    code = "training"
    cure = "Nothing was released; see docs/training.md, and go on from the run's last checkpoint."


class RunMismatch(TrainingError):
    """The run in this folder was begun with other images or settings."""

    code = "run-mismatch"
    exit_code = 2
    cure = "Repeat the command that began the run, or name another folder with --run."


# ------------------------------------------------------------------ DICOM bytes
class DicomError(DicomnnError):
    code = "dicom"


class NotDicom(DicomError):
    code = "not-dicom"
    cure = "Check that the file is DICOM: neither a Part 10 header nor a plausible data set was found."


class DataSetMalformed(DicomError):
    code = "malformed"
    cure = "Keep the file as it is; ask the sender for a correct one if it cannot be read."


class FrameUndecodable(DicomError):
    """An encapsulated frame could not be decoded."""

    code = "undecodable"
    cure = "The object is kept as received; check the sender's compression."


# ------------------------------------------------------------------ the coded object
class CodedObjectError(DicomnnError):
    code = "coded-object"


class NotCoded(CodedObjectError):
    code = "not-coded"
    cure = "Nothing to restore: the file is an ordinary DICOM object; use it as it is."


class PrivateBlockDamaged(CodedObjectError):
    """The DICOMNN private block is there, but a part of it is missing or unreadable."""

    code = "private-block-damaged"
    cure = "Fetch the object again from an archive that keeps private elements unchanged."


class RestoreMismatch(CodedObjectError):
    """Restored bytes differ from the digest recorded when the object was coded."""

    code = "restore-mismatch"
    cure = "Do not use this copy; restore from another one and keep this one for analysis."


class VerificationFailed(CodedObjectError):
    """A freshly coded object did not decode to its original; the original was kept."""

    code = "verification-failed"
    cure = "The original is kept; report the case with the instance's UID."


# ------------------------------------------------------------------ the archive
class ArchiveError(DicomnnError):
    code = "archive"


class InstanceNotFound(ArchiveError):
    code = "instance-not-found"
    cure = "Check the UID; `dicomnn status` shows what the archive holds."


class ObjectMissing(ArchiveError):
    """The index names an object that the store does not have."""

    code = "object-missing"
    cure = "Run `dicomnn fsck`; restore the object from the second copy of the archive."


class DuplicateConflict(ArchiveError):
    """The UID is taken by different content."""

    code = "duplicate-conflict"
    cure = "Compare the two objects in the report; the sender must give one of them a UID of its own."


class InUse(ArchiveError):
    """Something else refers to what was to be deleted."""

    code = "in-use"
    cure = "Delete it in the archive that keeps it here (docs/orthanc.md); then it goes by itself."


class InvalidTransition(ArchiveError):
    code = "invalid-transition"
    cure = "Another worker was faster, or the state is newer than thought; read the instance again."


class StoreFull(ArchiveError):
    code = "store-full"
    cure = "Free or add space in the store; senders will retry."


class StoreFailed(ArchiveError):
    code = "store-failed"
    cure = "Check the store's disk, mount and permissions; nothing was acknowledged."


class IndexFailed(ArchiveError):
    code = "index-failed"
    cure = "Check the index database; nothing was acknowledged."


# ------------------------------------------------------------------ peers
class PeerError(DicomnnError):
    code = "peer"
    cure = "Check address, AE titles and that the peer is running."


class IdentifierInvalid(PeerError):
    """A request's identifier or UIDs break the rules of the service."""

    code = "identifier-invalid"
    cure = "The peer must send a valid identifier for the query level."


class TooManyMatches(PeerError):
    """A query would have more answers than the node gives."""

    code = "too-many-matches"
    cure = "Narrow the query, for instance by date, or raise max_answers in [query]."
