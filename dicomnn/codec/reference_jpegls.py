"""ITU-T T.87 (JPEG-LS) for one component: the entropy coded segment -> samples. Part of the reference
decoder.

Names are those of T.87, annex A.
"""

from __future__ import annotations

import numpy as np

from dicomnn.errors import PayloadCorrupt

RESET = 64
J = (0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15)


class _Bits:
    """Bits from the top of each byte; behind a byte FF the top bit of the next is stuffing (A.1)."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.left = 0
        self.byte = 0

    def bit(self) -> int:
        if self.left == 0:
            if self.position == len(self.data):
                raise PayloadCorrupt("The entropy coded segment of a JPEG-LS tile ends too early.")
            self.left = 7 if self.byte == 0xFF else 8
            self.byte = self.data[self.position]
            self.position += 1
        self.left -= 1
        return self.byte >> self.left & 1

    def number(self, bits: int) -> int:
        value = 0
        for _ in range(bits):
            value = value << 1 | self.bit()
        return value


def decode_scan(data: bytes, height: int, width: int, precision: int, bound: int) -> np.ndarray:
    """Samples (height, width) int64. NEAR follows from ``bound`` as in the document."""
    maximum = (1 << precision) - 1
    return _Scan(_Bits(data), maximum, min(bound, 255, maximum // 2)).decode(height, width)


class _Scan:
    def __init__(self, bits: _Bits, maximum: int, near: int) -> None:
        self.bits = bits
        self.maximum = maximum
        self.near = near
        self.step = 2 * near + 1
        self.range = (maximum + 2 * near) // self.step + 1
        self.qbpp = (self.range - 1).bit_length()
        bpp = max(2, maximum.bit_length())
        self.limit = 2 * (bpp + max(8, bpp))
        self.thresholds = _default_thresholds(maximum, near)
        self.A = [max(2, (self.range + 32) // 64)] * 367
        self.N = [1] * 367
        self.B = [0] * 365
        self.C = [0] * 365
        self.Nn = [0, 0]
        self.run_index = 0

    def decode(self, height: int, width: int) -> np.ndarray:
        above = [0] * (width + 2)  # one sample of margin on each side
        lines = []
        for _ in range(height):
            line = [above[1]] + [0] * width + [0]
            above[width + 1] = above[width]
            self._line(line, above, width)
            lines.append(line[1 : width + 1])
            above = line
        return np.array(lines, np.int64)

    def _line(self, line: list[int], above: list[int], width: int) -> None:
        x = 1
        while x <= width:
            ra, rb, rc, rd = line[x - 1], above[x], above[x - 1], above[x + 1]
            gradients = (rd - rb, rb - rc, rc - ra)
            if all(abs(gradient) <= self.near for gradient in gradients):
                x = self._run(line, above, x, width)
            else:
                line[x] = self._regular(ra, rb, rc, gradients)
                x += 1

    def _regular(self, ra: int, rb: int, rc: int, gradients: tuple[int, int, int]) -> int:
        q1, q2, q3 = (self._quantise(gradient) for gradient in gradients)
        q = 81 * q1 + 9 * q2 + q3
        sign = 1 if q > 0 else -1
        q = abs(q)
        if rc >= max(ra, rb):
            px = min(ra, rb)
        elif rc <= min(ra, rb):
            px = max(ra, rb)
        else:
            px = ra + rb - rc
        px = min(max(px + sign * self.C[q], 0), self.maximum)
        k = 0
        while self.N[q] << k < self.A[q]:
            k += 1
        mapped = self._golomb(k, self.limit)
        if self.near == 0 and k == 0 and 2 * self.B[q] <= -self.N[q]:
            error = mapped // 2 if mapped % 2 else -(mapped // 2) - 1
        else:
            error = -(mapped + 1) // 2 if mapped % 2 else mapped // 2
        self._update(q, error)
        return self._reconstruct(px, sign * error)

    def _update(self, q: int, error: int) -> None:
        """A.6.1 and A.6.2."""
        self.B[q] += error * self.step
        self.A[q] += abs(error)
        if self.N[q] == RESET:
            self.A[q] >>= 1
            self.B[q] >>= 1
            self.N[q] >>= 1
        self.N[q] += 1
        if self.B[q] <= -self.N[q]:
            self.B[q] = max(self.B[q] + self.N[q], -self.N[q] + 1)
            self.C[q] = max(self.C[q] - 1, -128)
        elif self.B[q] > 0:
            self.B[q] = min(self.B[q] - self.N[q], 0)
            self.C[q] = min(self.C[q] + 1, 127)

    def _run(self, line: list[int], above: list[int], x: int, width: int) -> int:
        """A.7: a run and, unless it reaches the end of the line, the sample that breaks it; the next
        position.
        """
        ra = line[x - 1]
        while self.bits.bit():
            length = min(1 << J[self.run_index], width + 1 - x)
            line[x : x + length] = [ra] * length
            x += length
            if length == 1 << J[self.run_index]:
                self.run_index = min(self.run_index + 1, 31)
            if x > width:
                return x
        length = self.bits.number(J[self.run_index])
        if x + length > width:
            raise PayloadCorrupt("A run of a JPEG-LS tile passes the end of its line.")
        line[x : x + length] = [ra] * length
        x += length
        line[x] = self._interruption(ra, above[x])
        self.run_index = max(self.run_index - 1, 0)
        return x + 1

    def _interruption(self, ra: int, rb: int) -> int:
        kind = int(abs(ra - rb) <= self.near)
        px = ra if kind else rb
        sign = -1 if not kind and ra > rb else 1
        q = 365 + kind
        wanted = self.A[q] + (self.N[q] >> 1 if kind else 0)
        k = 0
        while self.N[q] << k < wanted:
            k += 1
        mapped = self._golomb(k, self.limit - J[self.run_index] - 1)
        odd = (mapped + kind) % 2
        error = (mapped + kind + odd) // 2
        if (k != 0 or 2 * self.Nn[kind] >= self.N[q]) == bool(odd):
            error = -error
        if error < 0:
            self.Nn[kind] += 1
        self.A[q] += (mapped + 1 - kind) >> 1
        if self.N[q] == RESET:
            self.A[q] >>= 1
            self.N[q] >>= 1
            self.Nn[kind] >>= 1
        self.N[q] += 1
        return self._reconstruct(px, sign * error)

    def _reconstruct(self, px: int, error: int) -> int:
        rx = px + error * self.step
        if rx < -self.near:
            rx += self.range * self.step
        elif rx > self.maximum + self.near:
            rx -= self.range * self.step
        return min(max(rx, 0), self.maximum)

    def _golomb(self, k: int, limit: int) -> int:
        """A.5.3: zeros, a one, k bits; or too many zeros, a one, and the value less 1 in qbpp bits."""
        zeros = 0
        while not self.bits.bit():
            zeros += 1
        if zeros < limit - self.qbpp - 1:
            return zeros << k | self.bits.number(k)
        return self.bits.number(self.qbpp) + 1

    def _quantise(self, gradient: int) -> int:
        t1, t2, t3 = self.thresholds
        size = abs(gradient)
        if size <= self.near:
            level = 0
        elif size < t1:
            level = 1
        elif size < t2:
            level = 2
        elif size < t3:
            level = 3
        else:
            level = 4
        return level if gradient > 0 else -level


def _default_thresholds(maximum: int, near: int) -> tuple[int, int, int]:
    """C.2.4.1.1.1."""

    def clamp(value: int, lowest: int) -> int:
        return lowest if value > maximum or value < lowest else value

    if maximum >= 128:
        factor = (min(maximum, 4095) + 128) // 256
        t1 = clamp(factor + 2 + 3 * near, near + 1)
        t2 = clamp(factor * 4 + 3 + 5 * near, t1)
        t3 = clamp(factor * 17 + 4 + 7 * near, t2)
    else:
        factor = 256 // (maximum + 1)
        t1 = clamp(max(2, 3 // factor + 3 * near), near + 1)
        t2 = clamp(max(3, 7 // factor + 5 * near), t1)
        t3 = clamp(max(4, 21 // factor + 7 * near), t2)
    return t1, t2, t3
