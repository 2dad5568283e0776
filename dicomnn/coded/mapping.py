"""A file as read-only memory whose pages are given back once they were used.

Objects of hundreds of MiB are walked from front to back, twice. Pages of a mapping count as resident
memory until they are dropped, so whoever walks calls :meth:`Mapping.drop` now and then: the bytes
stay reachable, the kernel reads them again when they are touched again.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

CHUNK = 1 << 20
DROP_EVERY = 32 << 20


class Mapping:
    """``buffer`` is the whole file (or the bytes given) as a read-only memoryview."""

    def __init__(self, source: Path | BinaryIO | bytes | bytearray | memoryview) -> None:
        self._map: mmap.mmap | None = None
        self._consumed = 0
        if isinstance(source, (bytes, bytearray, memoryview)):
            self.name = None
            self.buffer = memoryview(source).toreadonly()
            return
        if isinstance(source, Path):
            self.name = str(source)
            with open(source, "rb") as file:
                self._map = _map(file)
        else:
            self.name = None
            source.flush()
            self._map = _map(source)
        self.buffer = memoryview(self._map) if self._map is not None else memoryview(b"")

    def __len__(self) -> int:
        return len(self.buffer)

    def consumed(self, size: int) -> None:
        """Tell that about `size` more bytes were used; drops the pages every 32 MiB."""
        self._consumed += size
        if self._consumed >= DROP_EVERY:
            self.drop()

    def drop(self) -> None:
        """Give all resident pages back to the kernel; the content does not change."""
        self._consumed = 0
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def chunks(self, start: int, end: int) -> Iterator[memoryview]:
        """The bytes from `start` to `end` in pieces of 1 MiB, dropped behind the reader."""
        for position in range(start, end, CHUNK):
            piece = self.buffer[position : min(position + CHUNK, end)]
            yield piece
            self.consumed(len(piece))

    def close(self) -> None:
        """Release the file. Views that somebody still holds keep it until they are gone."""
        try:
            self.buffer.release()
            if self._map is not None:
                self._map.close()
        except BufferError:
            pass  # a view of an array is alive: the mapping goes when that goes

    def __enter__(self) -> Mapping:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _map(file: BinaryIO) -> mmap.mmap | None:
    if os.fstat(file.fileno()).st_size == 0:
        return None  # an empty file cannot be mapped
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
