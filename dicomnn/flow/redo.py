"""What a person does with a study that is there: code it again, take the compression back, delete it.

Nothing here touches pixels: wishes go into the index, and the workers do them when nothing has arrived.
"""

from __future__ import annotations

from dataclasses import dataclass

from dicomnn.archive import Instance, State
from dicomnn.codec.profile import CHANGED, Profile
from dicomnn.errors import InstanceNotFound
from dicomnn.flow.lift import lift_to
from dicomnn.flow.opening import Archive

KEEP = "keep"
_NEVER = ("malformed", "no-pixel-data", "colour", "one-bit", "bits-32", "packed-12", "float-pixels",
          "deflated-dataset", "already-lossy", "unknown-syntax")


@dataclass(frozen=True)
class Asked:
    """How many instances will be done again, and how many cannot be, or need not be."""

    asked: int
    left: int

    def sentence(self) -> str:
        """For the page."""
        if not self.asked:
            return "There is nothing to do: every object is as it was asked for, or cannot be changed."
        left = f"; {self.left} stay as they are" if self.left else ""
        return f"{self.asked} objects are in line{left}. Until they are done, what is stored stays as it is."


@dataclass(frozen=True)
class Limits:
    """Objects of a study that cannot be decompressed or given another profile, and why.

    lossy: their original is gone. repacked: received compressed, only the pixels are exact. never: kept for a
    reason that no profile changes."""

    coded: int = 0
    kept: int = 0
    lossy: int = 0
    repacked: int = 0
    never: int = 0

    @property
    def free(self) -> int:
        return self.coded + self.kept


def limits(archive: Archive, study: str) -> Limits:
    """What can be done with a study's objects."""
    counts = dict.fromkeys(("coded", "kept", "lossy", "repacked", "never"), 0)
    for instance in archive.index.instances(study=study):
        kind = _kind(instance)
        if kind:
            counts[kind] += 1
    return Limits(**counts)


def _kind(instance: Instance) -> str:
    if instance.state is State.KEPT:
        return "never" if instance.reason in _NEVER else "kept"
    if not instance.state.is_coded:
        return ""
    exact = str(instance.facts.get("exact"))
    return "lossy" if exact in CHANGED else "repacked" if exact == "pixels" else "coded"


def compress_again(archive: Archive, study: str, *, profile: str, effort: str, by: str) -> Asked:
    """With more effort or a newer model, and with another ``profile`` ('': each as it is).

    Raises
    ------
    UsageError
        No such profile or effort.
    InstanceNotFound
        No such study.
    """
    lift = lift_to(archive.shelf, effort, study=study, failed=True)
    total = _require(archive, study)
    if not profile:
        asked, _ = archive.index.ask_again(lift)
        for reason in ("failed", "not-smaller"):
            asked += sum(archive.index.retry(sop_instance_uid=instance.sop_instance_uid)
                         for instance in list(archive.index.instances(study=study, state=State.KEPT,
                                                                      reason=reason)))
        return Asked(asked, total - asked)
    return _ask_as(archive, study, str(Profile.parse(profile)), effort, total, by)


def decompress(archive: Archive, study: str, *, by: str) -> Asked:
    """Store the study as it was received. Raises InstanceNotFound."""
    return _ask_as(archive, study, KEEP, "default", _require(archive, study), by)


def _ask_as(archive: Archive, study: str, profile: str, effort: str, total: int, by: str) -> Asked:
    asked = sum(archive.index.ask_as(instance.sop_instance_uid, profile=profile, effort=effort, by=by)
                for instance in list(archive.index.instances(study=study))
                if _kind(instance) in ("coded", "kept") and _profile(instance) != profile)
    return Asked(asked, total - asked)


def _profile(instance: Instance) -> str:
    """With which it is stored now."""
    if instance.state is State.KEPT:
        return KEEP if instance.reason in ("profile-keep", "decompressed") else ""
    return str(instance.facts.get("profile") or instance.profile)


def delete(archive: Archive, study: str, *, reason: str, by: str) -> int:
    """Tombstones for every object of a study; their bytes go after the grace time. How many.

    Raises InstanceNotFound.
    """
    _require(archive, study)
    return sum(archive.index.delete(instance.sop_instance_uid, reason=reason, by=by)
               for instance in list(archive.index.instances(study=study)))


def _require(archive: Archive, study: str) -> int:
    row = archive.index.study(study)
    if row is None or not row.instances:
        raise InstanceNotFound("the archive has no study with this UID, or it was deleted", subject=study)
    return row.instances
