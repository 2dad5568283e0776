"""An archive as the walks use it: store, index and journal, with its models and its reports."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dicomnn.archive import Archive as Keys
from dicomnn.archive import open_archive as open_keys
from dicomnn.archive.local import LocalStore

if TYPE_CHECKING:
    from dicomnn.codec.model import Model
    from dicomnn.shelf import Shelf

REPORTS_FOLDER = "reports"


@dataclass(frozen=True)
class Place:
    """Where an archive is and how it is kept; plain data that also travels to worker processes.

    folder: of a local archive, and of the reports in any case. store_url, index_url: empty for the
    folder itself. The rest: see `dicomnn.archive.open_archive`.
    """

    folder: str
    store_url: str = ""
    index_url: str = ""
    policy: str = "never"
    grace_seconds: float = 0.0
    attempts: int = 3
    back_off: float = 30.0

    @property
    def exists(self) -> bool:
        """Whether there is an archive already (a remote one is taken to be there)."""
        return bool(self.store_url) or (Path(self.folder) / "objects").is_dir()


@dataclass
class Archive(Keys):
    """Thread-safe; each process opens its own."""

    reports: Path = field(default_factory=lambda: Path(REPORTS_FOLDER))
    _shelf: Shelf | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def shelf(self) -> Shelf:
        """Models that came with the package, then the archive's own copies."""
        from dicomnn.shelf import default_shelf  # here: what only reads keys never loads the codec

        with self._lock:
            if self._shelf is None:
                self._shelf = default_shelf(extra=self.store.get_model)
            return self._shelf

    def model(self, model_id: str) -> Model:
        """A model by its id; what decoding takes as ``models``. Raises UnknownModel, ModelCorrupt."""
        return self.shelf.get(model_id)


def open_archive(place: Place) -> Archive:
    """Open the archive at ``place``; a local one is made when it is not there.

    Raises
    ------
    StoreFailed, StoreFull, IndexFailed, ConfigurationError
        The folder or the database cannot be used.
    """
    folder = Path(place.folder).absolute()
    keys = open_keys(place.store_url or folder, place.index_url or None, policy=place.policy,
                     grace_seconds=place.grace_seconds, attempts=place.attempts, back_off=place.back_off)
    reports = (keys.store.root if isinstance(keys.store, LocalStore) else folder) / REPORTS_FOLDER
    return Archive(keys.store, keys.index, keys.journal, reports)
