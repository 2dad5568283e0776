"""Keys and states: durable objects in a store, what is known about them in an index.

Knows no codec and no DICOM. The front door is `open_archive`; ``docs/archive.md`` tells the rest.
"""

from dicomnn.archive.archive import Archive, open_archive
from dicomnn.archive.forwarding import Delivery, Failure, Forwarding, Leg, Queue, Which
from dicomnn.archive.index import (
    Conflict,
    Index,
    Instance,
    Lift,
    Receipt,
    Received,
    Release,
    Status,
    Study,
    Tried,
    Work,
    open_index,
)
from dicomnn.archive.states import Event, State
from dicomnn.archive.store import Entry, Incoming, Store, open_store

__all__ = [
    "Archive", "Conflict", "Delivery", "Entry", "Event", "Failure", "Forwarding", "Incoming", "Index",
    "Instance", "Leg", "Lift", "Queue", "Receipt", "Received", "Release", "State", "Status", "Store", "Study",
    "Tried", "Which", "Work", "open_archive", "open_index", "open_store",
]
