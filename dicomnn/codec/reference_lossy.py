"""A second reader of lossy payloads, in plain Python and NumPy, written from docs/format-lossy.md."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Callable

import numpy as np

from dicomnn.errors import PayloadCorrupt, UnknownModel

F = np.float32
MASK = ((0, -1), (0, -2), (-1, -2), (-1, -1), (-1, 0), (-1, 1), (-1, 2), (-2, -1), (-2, 0), (-2, 1))
PAD = 3


def decode(payload: bytes, models: Callable[[str], bytes]) -> np.ndarray:
    """(frames, rows, columns) uint16; ``models`` gives a model file by its id."""
    magic, version, reserved, rows, columns, frames, model_id = struct.unpack_from("<4sBBHHI8s", payload)
    if (magic, version, reserved) != (b"DNNL", 2, 0):
        raise PayloadCorrupt("no lossy payload of version 2")
    at = 22 + 8 * frames
    if struct.unpack_from("<I", payload, at)[0] != _crc32c(payload[:at]):
        raise PayloadCorrupt("the header's checksum differs")
    at += 4
    model = _model(models(model_id.hex()), model_id)
    out = np.empty((frames, rows, columns), np.uint16)
    for number in range(frames):
        length, checksum = struct.unpack_from("<II", payload, 22 + 8 * number)
        stream = payload[at : at + length]
        out[number] = _Frame(stream, (rows, columns), model).plane()
        if _crc32c(stream[:9] + out[number].astype("<u2").tobytes()) != checksum:
            raise PayloadCorrupt("the decoded values have another checksum", where=f"frame {number}")
        at += length
    return out


def _crc32c(data: bytes) -> int:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def _model(data: bytes, model_id: bytes) -> dict[str, np.ndarray]:
    if hashlib.sha256(data).digest()[:8] != model_id or data[:8] != b"DNNLOSSY":
        raise UnknownModel("the model is another one than the payload names")
    (length,) = struct.unpack_from("<I", data, 12)
    body, at, arrays = zlib.decompress(data[16 + length :]), 0, {}
    for row in json.loads(data[16 : 16 + length])["arrays"]:
        kind, count = np.dtype(row["dtype"]), int(np.prod(row["shape"]))
        arrays[row["name"]] = np.frombuffer(body, kind, count, at).reshape(row["shape"]).astype(np.int64)
        at += count * kind.itemsize
    return arrays


def _digits(value: int) -> int:
    return min(15, int(value).bit_length())


def _mark(m: int) -> int:
    if m > 255:
        return 32 + _mark(m >> 4)
    return sum((1 + m) ** 16 >= 1 << (2 * k - 1) for k in range(1, 65))


def _lowest_and_bits(k: int) -> tuple[int, int]:
    if k < 5:
        return k, 0
    e = (k - 5) // 2
    return 1 + (4 << e) + ((k - 5) % 2) * (2 << e), e + 1


class _Band:
    """Marks and signs of a band, zeros round it."""

    def __init__(self, rows: int, columns: int) -> None:
        shape = (rows + 2 * PAD, columns + 2 * PAD)
        self.marks, self.signs = np.zeros(shape, np.int64), np.zeros(shape, np.int64)

    def at(self, y: int, u: int) -> int:
        """Beyond the zeros there are more of them."""
        y, u = y + PAD, u + PAD
        rows, columns = self.marks.shape
        return int(self.marks[y, u]) if 0 <= y < rows and 0 <= u < columns else 0


class _Frame:
    def __init__(self, stream: bytes, shape: tuple[int, int], model: dict[str, np.ndarray]) -> None:
        self.flags, self.quality, self.base, self.low, self.high = struct.unpack_from("<BHHHH", stream)
        self.state = int.from_bytes(stream[9:13], "little")
        self.words = [int(word) for word in np.frombuffer(stream, "<u2", offset=13)]
        self.next, self.shape, self.model = 0, shape, model
        self.levels = max(0, min(5, min(shape).bit_length() - 3))
        self.corrections = np.zeros((3, 12), np.int64)
        names = ("signs", "still", "lowest", "mask", "blocks")
        self.chances = {name: model[name].copy() for name in names}

    # ------------------------------------------------------------------ events
    def take(self, start: int, frequency: int) -> None:
        self.state = frequency * (self.state >> 16) + self.state % 65536 - start
        if self.state < 65536:
            if self.next == len(self.words):
                raise PayloadCorrupt("the stream wants a word that is not there")
            self.state = self.state * 65536 + self.words[self.next]
            self.next += 1

    def binary(self, one: int) -> int:
        if self.state % 65536 < one:
            self.take(0, one)
            return 1
        self.take(one, 65536 - one)
        return 0

    def raw(self, bits: int) -> int:
        value = 0
        while bits:
            n = min(bits, 8)
            part = self.state % 65536 >> (16 - n)
            self.take(part << (16 - n), 1 << (16 - n))
            value, bits = value << n | part, bits - n
        return value

    def adaptive(self, name: str, where: tuple[int, ...], t: int = 32, s: int = 5) -> int:
        one = int(self.chances[name][where])
        bit = self.binary(one)
        self.chances[name][where] = one + (((65536 - t if bit else t) - one) >> s)
        return bit

    # ------------------------------------------------------------------ parts
    def plane(self) -> np.ndarray:
        mask = self.mask() if self.flags & 1 else np.zeros(self.shape, np.int64)
        restored = self.coefficients()
        if self.state != 65536 or self.next != len(self.words):
            raise PayloadCorrupt("the stream does not end where it should")
        step = F((64 + self.quality % 64) * 2.0 ** (self.quality // 64 - 8))
        values = synthesis(restored * step, self.levels) + (F(self.base) + F(0.5))
        out = np.clip(np.floor(values), self.low, self.high).astype(np.uint16)
        out[mask != 0] = 0
        return out

    def mask(self) -> np.ndarray:
        rows, columns = self.shape
        framed = np.zeros((rows + 2, columns + 4), np.int64)
        mixed = np.zeros((rows // 8 + 3, columns // 8 + 3), np.int64)
        for top in range(0, rows, 8):
            for left in range(0, columns, 8):
                by, bx = top // 8 + 1, left // 8 + 1
                w, n = int(framed[top + 2, left + 1]), int(framed[top + 1, left + 2])
                at = 4 * (w ^ n) + 2 * int(mixed[by, bx - 1]) + int(mixed[by - 1, bx])
                bottom, right = min(top + 8, rows), min(left + 8, columns)
                if not self.adaptive("blocks", (at,)):
                    value = self.adaptive("blocks", (8 + 2 * w + n,))
                    framed[top + 2 : bottom + 2, left + 2 : right + 2] = value
                    continue
                mixed[by, bx] = 1
                for y in range(top, bottom):
                    for u in range(left, right):
                        at = 0
                        for bit, (dy, dx) in enumerate(MASK):
                            x = min(u + dx, right - 1) if dx > 0 and y + dy >= top else u + dx
                            at |= int(framed[y + dy + 2, x + 2]) << bit
                        framed[y + 2, u + 2] = self.adaptive("mask", (at,))
        return framed[2:, 2:-2]

    def coefficients(self) -> np.ndarray:
        """Restored, in steps: float32."""
        out = np.zeros(self.shape, F)
        sizes = [self.shape]
        for _ in range(self.levels):
            sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
        h, w = sizes[-1]
        out[:h, :w] = self.lowest(h, w).astype(F)
        parents = [_Band(0, 0)] * 3
        for level in range(self.levels, 0, -1):
            (height, width), (h, w) = sizes[level - 1], sizes[level]
            sisters: list[_Band] = []
            for o, (ys, us) in enumerate(((0, w), (h, 0), (h, w))):
                rows, columns = (h, height - h)[ys > 0], (w, width - w)[us > 0]
                coder = _BandDecoder(self, level, o, rows, columns, parents, sisters)
                out[ys : ys + rows, us : us + columns] = coder.values()
                sisters.append(coder.own)
            parents = sisters
        return out

    def lowest(self, rows: int, columns: int) -> np.ndarray:
        v = np.zeros((rows, columns), np.int64)
        errors = np.full((rows + 1, columns + 1), 64, np.int64)
        for y in range(rows):
            for u in range(columns):
                w = v[y, u - 1] if u else (v[y - 1, u] if y else 0)
                n = v[y - 1, u] if y else w
                nw = v[y - 1, u - 1] if y and u else n
                guess = min(w, n) if nw >= max(w, n) else (max(w, n) if nw <= min(w, n) else w + n - nw)
                context = _digits(min(65535, int(errors[y + 1, u] + errors[y, u + 1])))
                k = 0
                while k < 39 and self.adaptive("lowest", (context, k)):
                    k += 1
                least, bits = _lowest_and_bits(k)
                error = least + self.raw(bits)
                errors[y + 1, u + 1] = min(32767, error)
                if error and self.raw(1):
                    error = -error
                v[y, u] = min(max(int(guess) + error, -(1 << 21)), 1 << 21)
        return v


class _BandDecoder:
    def __init__(
        self,
        frame: _Frame,
        level: int,
        o: int,
        rows: int,
        columns: int,
        parents: list[_Band],
        sisters: list[_Band],
    ) -> None:
        self.frame, self.level, self.o = frame, level, o
        self.rows, self.columns, self.own = rows, columns, _Band(rows, columns)
        self.parent, self.aunts = parents[o], [parents[i] for i in range(3) if i != o]
        self.sisters = list(sisters)
        self.parts = (columns + 15) // 16
        self.activity = [0] * (16 * self.parts)

    def values(self) -> np.ndarray:
        out = np.zeros((self.rows, self.columns), F)
        for y in range(self.rows):
            coded = self.coded_parts(y)
            for odd in (0, 1):
                slopes = np.zeros(12, np.int64)
                for u in range(odd, self.columns, 2):
                    if u // 16 in coded:
                        out[y, u] = self.value(y, u, slopes)
                moved = self.frame.corrections[self.o] + slopes
                self.frame.corrections[self.o] = np.clip(moved, -81920, 81920)
            marks = [self.own.at(y, u) for u in range(-1, 16 * self.parts + 1)]
            for u in range(16 * self.parts):
                new = 4 * (2 * marks[u + 1] + marks[u] + marks[u + 2])
                self.activity[u] += (new - self.activity[u]) >> 2
        return out

    def coded_parts(self, y: int) -> set[int]:
        """The live parts of a row, and those that an event says have values."""
        live, hints = [], []
        for p in range(self.parts):
            here, there = range(16 * p, 16 * p + 16), range(8 * p, 8 * p + 8)
            above = any(self.own.at(y - 1, u) for u in here)
            live.append(above or any(self.parent.at(y >> 1, u) for u in there))
            sisters = any(sister.at(y, u) for sister in self.sisters for u in here)
            hints.append(sisters or any(aunt.at(y >> 1, u) for aunt in self.aunts for u in there))
        coded = set()
        for p in range(self.parts):
            if not live[p]:
                beside = sum(live[q] for q in (p - 1, p + 1) if 0 <= q < self.parts)
                some = 0
                for value in self.activity[16 * p : 16 * p + 16]:
                    some |= value
                k = 9 * hints[p] + 3 * beside + (0 if some == 0 else (1 if some < 16 else 2))
                if not self.frame.adaptive("still", (self.o, self.level, k)):
                    continue
            coded.add(p)
        return coded

    def inputs(self, y: int, u: int) -> list[int]:
        own, parent, odd = self.own.at, self.parent.at, u % 2
        x = [own(y - 1, u), own(y - 1, u - 1) + own(y - 1, u + 1), own(y - 2, u)]
        x += [own(y - 2, u - 1) + own(y - 2, u + 1), own(y - 1, u - 2) + own(y - 1, u + 2)]
        x.append(self.activity[u] >> 3)
        x += [own(y, u - 1) + own(y, u + 1), own(y, u - 3) + own(y, u + 3)] if odd else [0, 0]
        h, v, yy, uu = (1 if odd else -1), (1 if y % 2 else -1), y >> 1, u >> 1
        x += [parent(yy, uu), parent(yy, uu + h), parent(yy + v, uu)]
        x.append(parent(yy, uu - h) + parent(yy - v, uu) + parent(yy + v, uu + h))
        x += [aunt.at(yy, uu) for aunt in self.aunts]
        for sister in self.sisters:
            x += [sister.at(y, u), sister.at(y, u - 1) + sister.at(y, u + 1)]
            x.append(sister.at(y - 1, u) + sister.at(y + 1, u))
        return x + [0] * (20 - len(x))

    def value(self, y: int, u: int, slopes: np.ndarray) -> np.float32:
        frame, m, o, p = self.frame, self.frame.model, self.o, u % 2
        h = (m["levels"][o, p, self.level] + np.array(self.inputs(y, u)) @ m["inputs"][o, p]) >> 5
        z = (m["heads_bias"][o, p] + np.clip(h, 0, 4095) @ m["heads"][o, p]) >> 8
        z = min(max(int(z), 0), 3071)
        c = min(max((z + (int(frame.corrections[o, z >> 8]) >> 8)) >> 5, 0), 95)
        slot, k, start = frame.state % 65536, 0, 0
        while slot >= start + m["frequencies"][c, k]:
            start += int(m["frequencies"][c, k])
            k += 1
        frame.take(start, int(m["frequencies"][c, k]))
        slopes[z >> 8] += m["slopes"][c, k]
        least, bits = _lowest_and_bits(k)
        magnitude = least + frame.raw(bits)
        if magnitude == 0:
            return F(0)
        s, yy, uu = self.own.signs, y + PAD, u + PAD
        near = ((0, -1), (-1, 0), (0, 1)) if p else ((-1, 0), (-1, -1), (-1, 1))
        a, b, d = (int(s[yy + dy, uu + du]) for dy, du in near)
        negative = frame.adaptive("signs", (o, p, 9 * a + 3 * b + d), 64, 6)
        s[yy, uu] = 1 + negative
        self.own.marks[yy, uu] = _mark(magnitude)
        size = F(magnitude) - F(m["points"][o, c, min(magnitude, 3) - 1]) / F(256)
        return F(-size if negative else size)


# ------------------------------------------------------------------ synthesis
A, B, C, D = F(-1.586134342059924), F(-0.052980118572961), F(0.882911075530934), F(0.443506852043971)
K, U = F(1.1496043988602418), F(1.0 / 1.1496043988602418)


def synthesis(coefficients: np.ndarray, levels: int) -> np.ndarray:
    """float32 (rows, columns) -> the plane, float32."""
    a = coefficients.astype(F)
    sizes = [a.shape]
    for _ in range(levels):
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    for level in range(levels, 0, -1):
        (rows, columns), (h, w) = sizes[level - 1], sizes[level]
        part = a[:rows, :columns]
        factor = np.ones((rows, 1), F)
        if rows > 1:
            factor[:h], factor[h:] = U, K
        if columns > 1:
            low, high = (part[:, :w] * U) * factor, (part[:, w:] * K) * factor
            wide = np.empty((rows, columns), F)
            wide[:, ::2], wide[:, 1::2] = low, high
            wide = _sweeps(wide.T).T
        else:
            wide = part * factor
        tall = np.empty((rows, columns), F)
        tall[::2], tall[1::2] = wide[:h], wide[h:]
        a[:rows, :columns] = _sweeps(tall) if rows > 1 else tall
    return a


def _sweeps(v: np.ndarray) -> np.ndarray:
    """The four sweeps down the first axis, which has two entries or more."""
    v = v.copy()
    n = len(v)
    for first, k in ((0, D), (1, C), (0, B), (1, A)):
        at = np.arange(first, n, 2)
        before = np.where(at > 0, at - 1, 1)
        after = np.where(at + 1 < n, at + 1, n - 2)
        v[at] = v[at] - k * (v[before] + v[after])
    return v
