"""An archive: one store, one index, and the journal that ties them together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Self, TypeVar

from dicomnn.archive.index import Index, Instance, Receipt, Received, Status, open_index
from dicomnn.archive.journal import Journal
from dicomnn.archive.states import State
from dicomnn.archive.store import Hook, Store, open_store
from dicomnn.errors import ConfigurationError, InstanceNotFound, ObjectMissing

Opened = TypeVar("Opened")
_TRIES = 8


@dataclass
class Archive:
    """Thread-safe. Open it in each process; an archive opened before a fork must not be used after."""

    store: Store
    index: Index
    journal: Journal

    def receive(self, received: Received) -> Receipt:
        """`Index.receive`, then the new object is dropped from the store if nothing refers to it.

        The object must have come from this store's `Incoming.commit`. After `IndexFailed` leave the
        object where it is: the commit may have happened; ``check.py`` finds objects without a row."""
        receipt = self.index.receive(received)
        if receipt.drop is not None:
            self.store.delete(receipt.drop)
            self.index.released([receipt.drop])
        return receipt

    def open_current(self, sop_instance_uid: str) -> tuple[Instance, BinaryIO]:
        """The instance and its object, open for reading, in any state and while it is being swapped.

        What the index names may be gone a moment later; then the index is asked again. Raises
        `InstanceNotFound` (unknown or deleted) and `ObjectMissing` (the index still names it)."""
        return self._current(sop_instance_uid, self.store.open)

    @contextlib.contextmanager
    def pin_current(self, sop_instance_uid: str) -> Iterator[tuple[Instance, Path]]:
        """The same as a local file that stays as it is until the block is left (see `Store.pin`)."""
        with contextlib.ExitStack() as stack:
            yield self._current(sop_instance_uid, lambda name: stack.enter_context(self.store.pin(name)))

    def _current(self, uid: str, opened: Callable[[str], Opened]) -> tuple[Instance, Opened]:
        missing = ""
        for _ in range(_TRIES):
            instance = self.index.get(uid)
            if instance.state is State.DELETED:
                raise InstanceNotFound(f"was deleted ({instance.reason}, {instance.detail}).", subject=uid)
            if instance.object_name == missing:
                break
            try:
                return instance, opened(instance.object_name)
            except ObjectMissing:
                missing = instance.object_name
        raise ObjectMissing(f"the index names object {missing}, which the store does not have.", subject=uid)

    def release_due(self, limit: int = 100) -> int:
        """Delete what the release queue says is due; how many objects went."""
        due = [release.object_name for release in self.index.due_releases(limit)]
        if due:
            self.store.delete(*due)
            self.index.released(due)
        return len(due)

    def status(self, rate_seconds: float = 300.0) -> Status:
        """`Index.status` with the models the store keeps."""
        return replace(self.index.status(rate_seconds), models=tuple(self.store.models()))

    def close(self) -> None:
        self.index.close()
        self.journal.close()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_archive(url: str | Path, index_url: str | None = None, *, policy: str = "never",
                 grace_seconds: float = 0.0, attempts: int = 3, back_off: float = 30.0,
                 stale_after: float = 24 * 3600.0, clock: Callable[[], float] | None = None,
                 store_hook: Hook | None = None, index_hook: Hook | None = None) -> Archive:
    """The archive whose store is at ``url`` (folder or fsspec URL), made when it is not there.

    index_url: a SQLAlchemy URL; without one, a local store has its index in ``index/`` beside the
    objects. The other arguments are those of `open_store` and `open_index`.
    """
    store = open_store(url, hook=store_hook, stale_after=stale_after)
    journal = Journal(store)
    try:
        if index_url is None:
            index_url = store.default_index_url()
        if index_url is None:
            raise ConfigurationError(f"an archive at {url} needs the URL of its index.")
        index = open_index(index_url, journal=journal, policy=policy, grace_seconds=grace_seconds,
                           attempts=attempts, back_off=back_off, clock=clock, hook=index_hook)
    except BaseException:
        store.close()
        raise
    return Archive(store, index, journal)
