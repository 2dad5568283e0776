"""Walk 1, second half: one leased instance is coded, verified and swapped, or kept with a reason. And, later,
coded once more with more effort or a newer model, from its own pixels.

Nothing here changes a state by itself: the index compares the lease, so doing the same work twice, or
losing a lease on the way, harms nobody.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from dicomnn.archive import Instance, State, Tried, Work
from dicomnn.codec.model import Model
from dicomnn.codec.profile import Profile
from dicomnn.coded.lossy import LossyRule
from dicomnn.coded.mapping import Mapping
from dicomnn.coded.reseal import reseal
from dicomnn.coded.restore import restore
from dicomnn.coded.seal import seal
from dicomnn.coded.sealed import Sealed
from dicomnn.dicom.scan import scan
from dicomnn.errors import DicomnnError, RestoreMismatch, UnknownModel
from dicomnn.flow.ingest import ProfileRule
from dicomnn.flow.lift import UNKNOWN, higher
from dicomnn.flow.lossy import UPLOADED, Lossy, lossy_rule
from dicomnn.flow.measure import image_facts, measured
from dicomnn.flow.opening import Archive
from dicomnn.flow.study import keep_figures

A_PERSON = "a person"           # asked for another profile
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Done:
    """What became of one piece of work. outcome: 'coded', 'kept', 'failed' or 'lost' (the lease); of one that
    was to be coded again 'recoded', 'unpacked' or 'left' (as it was), with the sizes of its objects."""

    sop_instance_uid: str
    outcome: str
    reason: str = ""
    before: int = 0
    after: int = 0
    seconds: float = 0.0


class Coder:
    """Codes what it is given. One per worker process. ``effort``: for what no rule gives another one."""

    def __init__(self, archive: Archive, *, effort: str = "default", rules: Sequence[ProfileRule] = (),
                 threads: int = 1, lossy: Lossy | None = None) -> None:
        self.archive = archive
        self.lossy = lossy or Lossy()
        self.effort = effort
        self.rules = rules
        self.threads = threads
        self._kept_models: set[str] = set()
        self._told = False

    def code(self, work: Work) -> Done:
        """Code one instance. Never raises for what is wrong with the instance: that is 'failed', to be
        tried again, and after the last attempt kept with reason 'failed'.

        Raises
        ------
        StoreFull, StoreFailed, IndexFailed
            The archive's own trouble: the lease runs out and the work is done again later.
        """
        started = time.monotonic()
        try:
            done = self._one(work)
        except DicomnnError as error:
            if error.code in ("store-full", "store-failed", "index-failed"):
                raise
            return self._failed(work, error.code, error.sentence(), started)
        except MemoryError:
            return self._failed(work, "out-of-memory", "the worker had not enough memory", started)
        except Exception as error:  # noqa: BLE001 - one instance must not stop the worker
            return self._failed(work, type(error).__name__, str(error)[:500], started)
        return dataclasses.replace(done, seconds=time.monotonic() - started)

    def _one(self, work: Work) -> Done:
        if work.instance.state is not State.RECODING:
            return self._code(work)
        return self._otherwise(work) if work.instance.recode_profile else self._again(work)

    def _failed(self, work: Work, code: str, message: str, started: float) -> Done:
        state = self.archive.index.failed(work, code, message)
        return Done(work.sop_instance_uid, "failed", f"{code}: {message} (now {state})",
                    seconds=time.monotonic() - started)

    def _code(self, work: Work) -> Done:
        instance = work.instance
        profile = Profile.parse(instance.profile)
        if profile.kind == "keep":
            return self._keep(work, "profile-keep", "", {})
        model, effort = self._newest(), self._effort(instance)
        with self.archive.store.pin(work.object_name) as source, self.archive.store.create() as incoming:
            target = incoming.path
            assert target is not None
            sealed = seal(source, target, profile=profile, model=model, models=self.archive.model,
                          effort=effort, threads=self.threads,
                          lossy=self._lossy_rule(profile, self._asked_by(instance)))
            facts = {**sealed.facts(), "image": image_facts(source)}
            if sealed.kind == "kept" or sealed.manifest is None:
                return self._keep(work, sealed.reason or "failed", sealed.detail, facts)
            uid: str | None = None
            tried: Tried | None = Tried(effort, model.id if model else UNKNOWN)
            if sealed.manifest.changed:
                uid, tried = _uid_in(target), None
                facts |= self._measured(instance, sealed, source, target, facts["image"], uid)
            self._keep_model(sealed.manifest.model_id)
            name = incoming.commit()
            swapped = self.archive.index.coded(
                work, name, object_sha256=incoming.sha256, object_size=incoming.size,
                model_id=sealed.manifest.model_id or None, tried=tried, facts=facts, sop_instance_uid=uid)
        outcome = "coded" if swapped else "lost"
        return Done(instance.sop_instance_uid, outcome, before=instance.before, after=incoming.size)

    def _effort(self, instance: Instance) -> str:
        """That of the first rule that matches, as for the profile."""
        for rule in self.rules:
            if rule.matches(instance.calling_ae, dict(instance.attributes)):
                return rule.effort or self.effort
        return self.effort

    def _lossy_rule(self, profile: Profile, asked_by: str) -> LossyRule | None:
        return lossy_rule(self.archive.shelf, profile, caps=self.lossy.caps, asked_by=asked_by,
                          compare=self.lossy.compare)

    def _asked_by(self, instance: Instance) -> str:
        """What asked for the profile that the instance came with."""
        if instance.source.startswith(UPLOADED):
            return f"the upload by {instance.source.removeprefix(UPLOADED)}"
        for number, rule in enumerate(self.rules, 1):
            if rule.matches(instance.calling_ae, dict(instance.attributes)):
                if rule.profile == instance.profile:
                    return rule.told(number)
                break
        return "[coding] profile"

    def _again(self, work: Work) -> Done:
        """The same for what is coded already: a smaller object of the same original, or nothing happens."""
        instance, model = work.instance, self._newest()
        # Never less than it had: a wish for a newer model is none for less effort.
        effort = higher(instance.recode_effort or self.effort, instance.tried_effort or UNKNOWN)
        tried = Tried(effort, model.id if model else UNKNOWN)
        with self.archive.store.pin(work.object_name) as source, self.archive.store.create() as incoming:
            target = incoming.path
            assert target is not None
            sealed = reseal(source, target, model=model, models=self.archive.model, effort=effort,
                            threads=self.threads)
            if sealed.kind == "kept" or sealed.manifest is None:
                return self._leave(work, sealed, tried)
            if instance.digest not in (sealed.manifest.original_dataset_digest,
                                       sealed.manifest.dataset_digest):
                raise RestoreMismatch("the coded object is not of the data set that was received",
                                      subject=instance.sop_instance_uid)
            self._keep_model(sealed.manifest.model_id)
            name = incoming.commit()
            swapped = self.archive.index.coded(
                work, name, object_sha256=incoming.sha256, object_size=incoming.size,
                model_id=sealed.manifest.model_id or None, tried=tried, facts=sealed.facts())
        return Done(instance.sop_instance_uid, "recoded" if swapped else "lost",
                    before=instance.object_size, after=incoming.size)

    def _otherwise(self, work: Work) -> Done:
        """With another profile than it has: from its restored original, which has the digest that came."""
        instance, profile = work.instance, Profile.parse(work.instance.recode_profile or "")
        with self.archive.store.pin(work.object_name) as coded, self.archive.store.create() as incoming:
            target = incoming.path
            assert target is not None
            restored = restore(coded, target, self.archive.model, strict=True, threads=self.threads)
            if restored.exact != "data-set" or restored.digest != instance.digest:
                raise RestoreMismatch("the original cannot be given back byte for byte",
                                      subject=instance.sop_instance_uid)
            if profile.kind == "keep":
                name = incoming.commit()
                swapped = self.archive.index.unpacked(work, name, object_sha256=incoming.sha256,
                                                      object_size=incoming.size, profile=str(profile))
                return Done(instance.sop_instance_uid, "unpacked" if swapped else "lost",
                            before=instance.object_size, after=incoming.size)
            return self._sealed_anew(work, target, profile)

    def _sealed_anew(self, work: Work, original: Path, profile: Profile) -> Done:
        instance, model = work.instance, self._newest()
        effort = instance.recode_effort or self.effort
        with self.archive.store.create() as incoming:
            target = incoming.path
            assert target is not None
            sealed = seal(original, target, profile=profile, model=model, models=self.archive.model,
                          effort=effort, threads=self.threads, lossy=self._lossy_rule(profile, A_PERSON))
            tried: Tried | None = Tried(effort, model.id if model else UNKNOWN)
            if sealed.kind == "kept" or sealed.manifest is None:
                assert tried is not None
                return self._leave(work, sealed, tried)
            facts, uid = {"lossy": None, **sealed.facts(), "image": image_facts(original)}, None
            if sealed.manifest.changed:
                uid, tried = _uid_in(target), None
                facts |= self._measured(instance, sealed, original, target, facts["image"], uid)
            self._keep_model(sealed.manifest.model_id)
            name = incoming.commit()
            swapped = self.archive.index.coded(
                work, name, object_sha256=incoming.sha256, object_size=incoming.size,
                model_id=sealed.manifest.model_id or None, tried=tried, facts=facts, sop_instance_uid=uid)
        return Done(instance.sop_instance_uid, "recoded" if swapped else "lost",
                    before=instance.object_size, after=incoming.size)

    def _leave(self, work: Work, sealed: Sealed, tried: Tried) -> Done:
        reason, size = sealed.reason or "", work.instance.object_size
        if reason == "surroundings-changed":
            # Elsewhere that may be the way of the world; in our own store it is damage.
            raise RestoreMismatch("the coded object is not as it was written", subject=work.sop_instance_uid)
        still_ours = self.archive.index.kept(work, reason, sealed.detail,
                                             tried=None if reason == "lossy" else tried)
        return Done(work.sop_instance_uid, "left" if still_ours else "lost", reason, size, size)

    def _keep(self, work: Work, reason: str, detail: str, facts: dict[str, Any]) -> Done:
        still_ours = self.archive.index.kept(work, reason, detail, facts=facts)
        size = work.instance.before
        return Done(work.sop_instance_uid, "kept" if still_ours else "lost", reason, size, size)

    def _newest(self) -> Model | None:
        """The model for new objects; None in a checkout that has none yet: then the other contenders win."""
        try:
            return self.archive.shelf.newest()
        except UnknownModel as error:
            if not self._told:
                self._told = True
                log.warning("no-model", reason=error.sentence())
            return None

    def _measured(self, instance: Instance, sealed: Sealed, source: Path, target: Path,
                  image: dict[str, Any], uid: str) -> dict[str, Any]:
        """The errors of a lossy object, while the original is still there to compare with."""
        worst = sealed.lossy.worst_frame if sealed.lossy is not None else None
        found = measured(source, target, self.archive.model, image, series=instance.series_instance_uid,
                         uid=uid, promised_worst=worst)
        keep_figures(self.archive, instance, found.pop("figures"))
        return found

    def _keep_model(self, model_id: str) -> None:
        """The archive's own copy, durable before the first object that needs it is named."""
        if model_id and model_id not in self._kept_models:
            self.archive.store.put_model(model_id, self.archive.shelf.model_bytes(model_id))
            self._kept_models.add(model_id)


def _uid_in(path: Path) -> str:
    """The SOP Instance UID in the data set of a derived object."""
    with Mapping(path) as mapping:
        return scan(mapping.buffer).sop_instance_uid or ""


@contextlib.contextmanager
def renewed(archive: Archive, work: Work, seconds: float) -> Iterator[threading.Event]:
    """Keeps the lease alive while the block runs; the event is set when it was lost."""
    over, lost = threading.Event(), threading.Event()

    def keep() -> None:
        while not over.wait(seconds / 3):
            try:
                if not archive.index.renew(work, seconds):
                    lost.set()
                    return
            except DicomnnError:
                continue        # a database that is away for a moment: the next turn may come in time

    thread = threading.Thread(target=keep, name="lease", daemon=True)
    thread.start()
    try:
        yield lost
    finally:
        over.set()
        thread.join()
