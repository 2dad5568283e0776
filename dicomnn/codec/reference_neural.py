"""The neural tile, in plain Python and NumPy. Part of the reference decoder.

docs/format-neural.md, pixel by pixel, with no state kept that could be computed again:
windows are summed anew for each solution instead of sliding.
"""

from __future__ import annotations

import math
import struct

import numpy as np

from dicomnn.codec.reference_model import ESCAPE, ReferenceModel
from dicomnn.errors import PayloadCorrupt

NEIGHBOURS = [
    *((0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, -2), (-1, 2), (-2, -1), (-2, 1)),
    *((-2, -2), (-2, 2), (0, -3), (-3, 0), (-1, -3), (-1, 3), (-3, -1), (-3, 1), (-2, -3), (-2, 3)),
    *((-3, -2), (-3, 2), (0, -4), (-4, 0), (-1, -4), (-1, 4), (-4, -1), (-4, 1), (-3, -3), (-3, 3)),
]
PREDICTORS = {  # neighbours, radius, pixels between solutions
    "fast": ((18, 8, 8),),
    "default": ((18, 7, 4), (10, 4, 2)),
    "max": ((18, 7, 2), (10, 4, 1), (30, 12, 4)),
}
MARGIN = 4


def _clip(value: int, lowest: int, highest: int) -> int:
    return min(max(value, lowest), highest)


class _Stream:
    """rANS: a state of 32 bits, words of 16; symbols are (start, frequency) of 65536."""

    def __init__(self, data: bytes) -> None:
        if len(data) < 4 or len(data) % 2:
            raise PayloadCorrupt("The stream of a neural tile is too short or of odd length.")
        self.state = int.from_bytes(data[:4], "little")
        self.words = np.frombuffer(data[4:], "<u2").tolist()
        self.position = 0

    def slot(self) -> int:
        return self.state & 0xFFFF

    def take(self, start: int, frequency: int) -> None:
        self.state = frequency * (self.state >> 16) + self.slot() - start
        if self.state < 65536:
            if self.position == len(self.words):
                raise PayloadCorrupt("The stream of a neural tile ends too early.")
            self.state = self.state << 16 | self.words[self.position]
            self.position += 1

    def symbol(self, cdf: np.ndarray) -> int:
        symbol = int(np.searchsorted(cdf, self.slot(), side="right")) - 1
        self.take(int(cdf[symbol]), int(cdf[symbol + 1] - cdf[symbol]))
        return symbol

    def event(self, chance: int) -> bool:
        """True with probability ``chance`` / 65536."""
        if self.slot() < chance:
            self.take(0, chance)
            return True
        self.take(chance, 65536 - chance)
        return False

    def raw(self, bits: int) -> int:
        """Equally likely bits, at most eight at a time, from the top."""
        value = 0
        while bits > 0:
            part = min(bits, 8)
            bits -= part
            frequency = 1 << (16 - part)
            digit = self.slot() // frequency
            self.take(digit * frequency, frequency)
            value = value << part | digit
        return value

    def check_end(self) -> None:
        if self.position != len(self.words) or self.state != 65536:
            raise PayloadCorrupt("The stream of a neural tile does not end where it should.")


class _Online:
    """The online stage: filter, bias and scale offsets."""

    def __init__(self) -> None:
        self.filter = [0] * 6
        self.scale = [0] * 68
        self.scale_count = [0] * 68
        self.bias = [0] * 54
        self.bias_count = [0] * 54
        self.scale_all = 0
        self.scale_all_count = 0

    def correction(self, recent: list[int]) -> int:
        return _clip(sum(w * r for w, r in zip(self.filter, recent, strict=True)) >> 24, -96, 96)

    def update_filter(self, recent: list[int], rest: int) -> None:
        gain = (_clip(rest, -128, 128) << 17) // (16384 + sum(r * r for r in recent))
        for place, r in enumerate(recent):
            self.filter[place] += gain * r - (self.filter[place] >> 11)

    def update_bias(self, context: int, rest: int) -> None:
        n = self.bias_count[context]
        self.bias[context] += _clip(rest, -128, 128) * 65536 // (n + 24)
        self.bias_count[context] = min(n + 1, 400)

    def update_scale(self, context: int, slope: int) -> None:
        slope = _clip(slope, -512, 512)
        n, m = self.scale_count[context], self.scale_all_count
        self.scale[context] += slope * 65536 // (n + 40)
        self.scale_count[context] = min(n + 1, 400)
        self.scale_all += slope * 65536 // (2 * (m + 40))
        self.scale_all_count = min(m + 1, 300)


def decode_neural(
    data: bytes, height: int, width: int, peak: int, bound: int, effort: str, model: ReferenceModel
) -> np.ndarray:
    """Pixels (height, width) int64 of a neural tile."""
    start, index = struct.unpack_from("<HB", data)
    stream = _Stream(data[3:])
    code = np.zeros(16, np.int64)
    if stream.event(49152):
        code = np.array([stream.symbol(cdf) - 3 for cdf in model.code_cdfs])
    start_error = ((4 << (index >> 2)) * (256, 304, 362, 431)[index & 3]) >> 8
    walk = _Walk(stream, height, width, peak, bound, PREDICTORS[effort], model, model.modulation(code))
    walk.surround(start, start_error)
    for y in range(height):
        walk.row(y)
    stream.check_end()
    return walk.pixels[MARGIN:, MARGIN : MARGIN + width].copy()


class _Walk:
    """A tile while it is decoded. Arrays have four rows of margin above and four columns on each side."""

    def __init__(
        self,
        stream: _Stream,
        height: int,
        width: int,
        peak: int,
        bound: int,
        predictors: tuple[tuple[int, int, int], ...],
        model: ReferenceModel,
        modulation: np.ndarray,
    ) -> None:
        self.stream, self.model, self.modulation = stream, model, modulation
        self.height, self.width, self.peak, self.bound = height, width, peak, bound
        self.predictors = predictors
        self.most = max(neighbours for neighbours, _, _ in predictors)
        shape = (height + MARGIN, width + 2 * MARGIN)
        self.pixels = np.zeros(shape, np.int64)
        self.errors = np.zeros(shape, np.int64)
        self.finals = np.zeros(shape, np.int64)
        self.samples = np.zeros((height, width, self.most + 1), np.int64)
        self.coefficients = [[0] * neighbours for neighbours, _, _ in predictors]
        self.since = [0] * len(predictors)
        self.online = _Online()
        self.flat_chance = [32768, 62000]
        self.flat_before = 0
        self.log_step = model.log2(2 * bound + 1)

    def surround(self, start: int, start_error: int) -> None:
        """What stands outside of the tile before its first row."""
        for array, value in ((self.pixels, start), (self.errors, start_error)):
            array[:MARGIN] = value
            array[MARGIN, :MARGIN] = value

    def row(self, y: int) -> None:
        r = y + MARGIN
        if y > 0:
            for array in (self.pixels, self.errors):
                array[r, :MARGIN] = array[r - 1, MARGIN]
                array[r - 1, MARGIN + self.width :] = array[r - 1, MARGIN + self.width - 1]
        self.since = [1 << 30] * len(self.predictors)
        for x in range(self.width):
            self.since = [since + 1 for since in self.since]
            self._pixel(y, x)

    def _pixel(self, y: int, x: int) -> None:
        r, c = y + MARGIN, x + MARGIN
        near = [int(self.pixels[r + dy, c + dx]) for dy, dx in NEIGHBOURS]
        m4 = sum(near[:4])
        values = [4 * pixel - m4 for pixel in near]
        activity = sum(abs(value) for value in values[:10])
        flat = all(value == values[0] for value in values[:10])
        error, final = 0, 0
        if flat and self._same_again():
            pixel = near[0]
        else:
            pixel, error, final = self._coded_pixel(y, x, near, values, m4, activity)
        self.pixels[r, c], self.errors[r, c], self.finals[r, c] = pixel, error, final
        target = 4 * pixel - m4
        if activity or target:
            inverse = (2560 << 16) // (activity + 20)
            sample = [target, *values[: self.most]]
            self.samples[y, x] = [_clip((value * inverse) >> 16, -2047, 2047) for value in sample]

    def _same_again(self) -> bool:
        chance = self.flat_chance[self.flat_before]
        same = self.stream.event(chance)
        if same:
            self.flat_chance[self.flat_before] = min(chance + ((65536 - chance) >> 5), 65472)
        else:
            self.flat_chance[self.flat_before] = max(chance - (chance >> 5), 64)
        self.flat_before = int(same)
        return same

    # -------------------------------------------------------------------------------- prediction
    def _predict(self, y: int, x: int, values: list[int], m4: int, activity: int) -> list[int]:
        """Predictions in 1/64, one per predictor."""
        predictions = []
        for number, (neighbours, radius, step) in enumerate(self.predictors):
            if self.since[number] >= step:
                self.coefficients[number] = self._solve(y, x, neighbours, radius)
                self.since[number] = 0
            weighted = zip(self.coefficients[number], values[:neighbours], strict=True)
            middle = 16 * m4
            reach = 4 * (activity * 8 // 5 + 32)
            prediction = middle + (sum(w * v for w, v in weighted) >> 12)
            predictions.append(_clip(_clip(prediction, middle - reach, middle + reach), 0, 64 * self.peak))
        return predictions

    def _solve(self, y: int, x: int, neighbours: int, radius: int) -> list[int]:
        """Least squares over the window: integer sums, then float64 in the order of the document."""
        left, right = max(x - radius, 0), x + radius + 1
        above = self.samples[max(y - radius, 0) : y, left:right, : neighbours + 1].reshape(-1, neighbours + 1)
        beside = self.samples[y, left:x, : neighbours + 1]
        window = np.concatenate([above, beside])
        sums = window.T @ window
        matrix = sums[1:, 1:].astype(np.float64)
        rhs = sums[0, 1:].astype(np.float64)
        trace = 0.0
        for k in range(neighbours):
            trace += float(matrix[k, k])
        r = 1e-4 * trace / neighbours + 65.0
        matrix[np.arange(neighbours), np.arange(neighbours)] += r
        rhs[:2] += 0.4 * r
        for k in range(neighbours):
            matrix[k, k] = max(matrix[k, k], 0.5 * r)
            factors = matrix[k, k + 1 :] * (1.0 / matrix[k, k])
            # One product, then one difference, each rounded; what is below the diagonal is not used.
            matrix[k + 1 :, k + 1 :] -= np.outer(factors, matrix[k, k + 1 :])
            rhs[k + 1 :] -= factors * rhs[k]
        rows, unknowns = matrix.tolist(), rhs.tolist()
        for k in range(neighbours - 1, -1, -1):
            total = unknowns[k]
            for j in range(k + 1, neighbours):
                total -= rows[k][j] * unknowns[j]
            unknowns[k] = total / rows[k][k]
        return [int(min(max(math.floor(w * 65536.0 + 0.5), -262144), 262144)) for w in unknowns]

    # -------------------------------------------------------------------------------- network inputs
    def _scale(self, r: int, c: int) -> int:
        e = self.errors
        weights = (
            (4, 0, -1),
            (4, -1, 0),
            (2, -1, -1),
            (2, -1, 1),
            (2, 0, -2),
            (2, -2, 0),
            (1, -1, -2),
            (1, -1, 2),
        )
        total = sum(weight * abs(int(e[r + dy, c + dx])) for weight, dy, dx in weights)
        return ((total * 37) >> 10) + 5

    def _inputs(
        self,
        r: int,
        c: int,
        near: list[int],
        values: list[int],
        activity: int,
        predictions: list[int],
        scale: int,
    ) -> list[int]:
        log2, bend = self.model.log2, self.model.bend
        blend = sum(predictions) // len(predictions)
        errors = [int(self.errors[r + dy, c + dx]) for dy, dx in NEIGHBOURS[:6]]
        differences = [prediction - blend for prediction in predictions] + [0, 0]
        inputs = [bend(difference, scale) for difference in differences[:3]]
        inputs += [bend(64 * pixel - blend, scale) for pixel in near[:12]]
        inputs += [bend(error, scale) for error in errors]
        log_scale = log2(scale)

        def against(value: int) -> int:
            return (log2(value) - log_scale) >> 4

        e = np.abs(self.errors)
        wide = int(e[r - 1, c - 3 : c + 4].sum() + e[r - 2, c - 2 : c + 3].sum())
        west, north, north_west = near[0], near[1], near[2]
        across = abs(west - north_west) + abs(north - near[5])
        along = abs(north - north_west) + abs(west - near[4])
        rest = [
            min((log_scale - 2304) >> 4, 0),
            against(16 * activity // 10 + 16),
            against((abs(errors[0]) + abs(errors[1])) // 2 + 4),
            against(wide // 12 + 4),
            against(abs(predictions[0] - predictions[-1]) + 4),
            ((blend & 63) - 32) * 3,
            12 * sum(value == values[0] for value in values[1:10]),
            against(32 * across + 4),
            against(32 * along + 4),
            against(max(abs(error) for error in errors) + 4),
            40 * (len(predictions) - 2),
        ]
        return inputs + [_clip(value, -127, 127) for value in rest]

    # -------------------------------------------------------------------------------- one coded pixel
    def _coded_pixel(
        self, y: int, x: int, near: list[int], values: list[int], m4: int, activity: int
    ) -> tuple[int, int, int]:
        """Pixel, error of the blend, final error."""
        r, c = y + MARGIN, x + MARGIN
        online, step = self.online, 2 * self.bound + 1
        predictions = self._predict(y, x, values, m4, activity)
        blend = sum(predictions) // len(predictions)
        scale = self._scale(r, c)
        inputs = self._inputs(r, c, near, values, activity, predictions, scale)
        outputs = self.model.network(inputs, self.modulation)
        mean = blend + ((_clip(outputs[0], -768, 768) * scale) >> 8)
        log_scale = self.model.log2(scale) + _clip(outputs[1], -768, 768)
        tail = _clip((outputs[2] + 128) >> 8, 0, 7)

        recent = [int(self.finals[r + dy, c + dx]) for dy, dx in NEIGHBOURS[:4]] + [inputs[0], inputs[15]]
        class_before = (log_scale - 1536 - self.log_step + 1280) >> 6
        bias_context = self._bias_context(
            int(self.errors[r, c - 1]), int(self.errors[r - 1, c]), scale, class_before
        )
        shift = online.correction(recent) + (online.bias[bias_context] >> 16)
        mean = _clip(mean + ((shift * scale) >> 6), 0, 64 * self.peak)
        ratio = inputs[23]
        ratio_class = 0 if ratio < -6 else 1 if ratio < 6 else 2 if ratio < 16 else 3
        scale_context = 4 * (_clip(class_before, 0, 33) // 2) + ratio_class
        log_scale += (online.scale[scale_context] + online.scale_all) >> 16
        scale_class = _clip((log_scale - 1536 - self.log_step + 1280) >> 6, 0, 87)
        low = 0
        if scale_class > 31:
            low = (scale_class - 28) >> 2
            scale_class -= 4 * low
        centre = (mean + 32) >> 6
        fraction = min((mean - 64 * centre + 32 * step) // step >> (3 + low), 7)

        symbol = self.stream.symbol(self.model.cdfs[scale_class, fraction, tail])
        if symbol == ESCAPE:
            pixel = self.stream.raw(self.peak.bit_length())
        else:
            pixel = centre + ((symbol - 127) << low | self.stream.raw(low)) * step
        pixel = _clip(pixel, 0, self.peak)

        rest = _clip(64 * (64 * pixel - mean) // scale, -512, 512)
        online.update_filter(recent, rest)
        online.update_bias(bias_context, rest)
        slope = 512
        if symbol != ESCAPE:
            wider = int(self.model.frequencies[scale_class + 1, fraction, tail, symbol])
            narrower = int(self.model.frequencies[max(scale_class - 1, 0), fraction, tail, symbol])
            slope = self.model.log2(max(wider, 1)) - self.model.log2(max(narrower, 1))
        online.update_scale(scale_context, slope)
        return pixel, 64 * pixel - blend, _clip(rest + shift, -255, 255)

    @staticmethod
    def _bias_context(west: int, north: int, scale: int, scale_class: int) -> int:
        def sign(error: int) -> int:
            return 0 if 2 * error < -scale else 2 if 2 * error > scale else 1

        return (3 * sign(west) + sign(north)) * 6 + _clip((scale_class - 4) // 5, 0, 5)
