"""Which series of a folder are of the released model's test set."""

from __future__ import annotations

from collections.abc import Sequence

from dicomnn.benchmark.folder import Series
from dicomnn.benchmark.ours import the_model


def held_out_sources(series: Sequence[Series]) -> tuple[str, ...]:
    """Sources among `series` that the newest released model's manifest lists as its test set, sorted. The
    models of the lossy tier were trained on the same side of the same split.
    """
    test = the_model("").about.get("test", [])
    return tuple(sorted({one.source for one in series} & set(test)))
