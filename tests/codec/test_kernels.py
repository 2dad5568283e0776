"""The vector kernels of the coding loop give what their plain definitions give."""

from __future__ import annotations

import numpy as np
from numba import njit

from dicomnn.codec.causal import log2_q8
from dicomnn.codec.network_lanes import log_inputs
from dicomnn.codec.online import over
from dicomnn.codec.pixel_tables import MOST_SLOPE, distribution_at, find, frequency_at, slopes_of, starts_of
from dicomnn.codec.tables import ESCAPE, FRACTIONS, TAIL_CLASSES, TOTAL, cdf_tables, log_table

LOG = log_table().astype(np.int64)


@njit  # type: ignore[untyped-decorator]
def found(starts, distribution, slots):  # type: ignore[no-untyped-def]
    return np.array([find(starts, distribution, slot) for slot in slots])


@njit  # type: ignore[untyped-decorator]
def logs(values, against, count, known, log_table):  # type: ignore[no-untyped-def]
    """Rows of inputs 32..47 with every logarithm's place taken by the same value."""
    inputs = np.zeros((values.size, 64), dtype=np.int16)
    for k in range(values.size):
        v = values[k]
        log_inputs(against, v, v, v, v, 7, 8, v, v, v, v, v, v, v, v, count, known, inputs[k])
    return inputs[:, 32:48]


def frequencies() -> np.ndarray:
    return np.diff(cdf_tables().astype(np.int64), axis=-1)


def test_a_slot_is_found_at_every_edge_of_every_kind_of_distribution() -> None:
    table = frequencies()
    starts = starts_of(table)
    for scale_class, fraction, tail in ((0, 0, 0), (3, 7, 7), (16, 4, 2), (31, 5, 7), (32, 7, 0)):
        ends = np.cumsum(table[scale_class, fraction, tail])
        begins = ends - table[scale_class, fraction, tail]
        slots = np.unique(np.clip([*begins, *(begins - 1), *(begins + 1)], 0, TOTAL - 1))
        wanted = np.searchsorted(ends, slots, side="right")
        distribution = distribution_at(scale_class, fraction, tail)
        assert found(starts, distribution, slots).tolist() == wanted.tolist()
        assert [frequency_at(starts, distribution, symbol) for symbol in range(ESCAPE + 1)] == list(
            table[scale_class, fraction, tail]
        )


def test_slopes_are_those_of_the_neighbouring_scale_classes() -> None:
    table = frequencies()
    slopes = slopes_of(table, LOG)
    rng = np.random.default_rng(0)
    for _ in range(3000):
        c, f, t, symbol = (int(rng.integers(n)) for n in (32, FRACTIONS, TAIL_CLASSES, ESCAPE))
        up, down = table[c + 1, f, t, symbol], table[max(c - 1, 0), f, t, symbol]
        wanted = log2_q8(max(up, 1), LOG) - log2_q8(max(down, 1), LOG)
        assert slopes[distribution_at(c, f, t) + symbol] == min(max(wanted, -MOST_SLOPE), MOST_SLOPE)
    assert slopes[distribution_at(5, 3, 2) + ESCAPE] == MOST_SLOPE


def test_logarithms_in_vectors_are_those_of_the_table() -> None:
    heads = np.arange(256, 512)
    values = np.unique(
        np.concatenate(
            [
                head >> (8 - n) if n < 8 else (head << (n - 8)) + low
                for n in range(24)
                for head in [heads]
                for low in (0, (1 << max(n - 8, 0)) - 1)
            ]
        )
    )
    assert values[0] == 1 and values[-1] == (1 << 24) - 1
    for against in (0, 594, 3000, 5300):
        wanted = [min(max((log2_q8(v, LOG) - against) >> 4, -127), 127) for v in values]
        for lane, column in enumerate(logs(values, against, 5, 4097, LOG).T):
            if lane not in (0, 5, 6, 15):
                assert column.tolist() == wanted, f"input {32 + lane}"


def test_inputs_without_a_logarithm_are_in_their_places() -> None:
    for count in range(1, 6):
        row = logs(np.array([900]), 2800, count, 4097, LOG)[0]
        assert (row[0], row[5], row[6], row[15]) == ((2800 - 2304) // 16 and 0, 7, 8, log2_q8(4097, LOG) >> 5)
        assert (row[10:15] == -127).tolist() == [k >= count for k in range(5)]
    assert logs(np.array([900]), 700, 1, 1, LOG)[0, 0] == (700 - 2304) >> 4


def test_division_by_a_count_rounds_down_like_the_plain_one() -> None:
    rng = np.random.default_rng(1)
    for count in (1, 2, 3, 24, 25, 40, 424, 440, 680, 1023):
        edges = np.arange(-64, 65)[:, None] * count + np.arange(-1, 2)
        for value in [*edges.ravel(), *rng.integers(-(1 << 25), 1 << 25, 200), -(1 << 25), 1 << 25]:
            assert over(int(value), count) == int(value) // count
