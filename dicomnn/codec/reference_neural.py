"""The neural and the neighbour tile, in plain Python and NumPy. Part of the reference decoder.

docs/format-neural.md, pixel by pixel, with no state kept that could be computed again; the predictors are in
`reference_predict.py`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from dicomnn.codec.reference_model import ESCAPE, ReferenceModel
from dicomnn.codec.reference_predict import (
    MARGIN,
    NEIGHBOURS,
    Predictors,
    Surroundings,
    blend,
    clip,
    surroundings,
)
from dicomnn.errors import PayloadCorrupt


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
        return clip(sum(w * r for w, r in zip(self.filter, recent, strict=True)) >> 24, -96, 96)

    def update_filter(self, recent: list[int], rest: int) -> None:
        gain = (clip(rest, -128, 128) << 17) // (16384 + sum(r * r for r in recent))
        for place, r in enumerate(recent):
            self.filter[place] += gain * r - (self.filter[place] >> 11)

    def update_bias(self, context: int, rest: int) -> None:
        n = self.bias_count[context]
        self.bias[context] += clip(rest, -128, 128) * 65536 // (n + 24)
        self.bias_count[context] = min(n + 1, 400)

    def update_scale(self, context: int, slope: int) -> None:
        slope = clip(slope, -512, 512)
        n, m = self.scale_count[context], self.scale_all_count
        self.scale[context] += slope * 65536 // (n + 40)
        self.scale_count[context] = min(n + 1, 400)
        self.scale_all += slope * 65536 // (2 * (m + 40))
        self.scale_all_count = min(m + 1, 300)


def decode_neural(
    data: bytes,
    height: int,
    width: int,
    peak: int,
    bound: int,
    effort: str,
    model: ReferenceModel,
    reference: np.ndarray | None = None,
) -> np.ndarray:
    """Pixels (height, width) int64 of a neural tile; with ``reference`` of a neighbour tile.

    The reference is the plane of the frame before, less this plane's minimum, int64 (height + 8, width + 8):
    the tile's window with four pixels around it, edges repeated.
    """
    if len(data) < 7:
        raise PayloadCorrupt("A neural tile is too short.")
    start, index = struct.unpack_from("<HB", data)
    if index > 63:
        raise PayloadCorrupt("A neural tile begins with an error that there is not.")
    stream = _Stream(data[3:])
    code = np.zeros(16, np.int64)
    if stream.event(49152):
        code = np.array([stream.symbol(cdf) - 3 for cdf in model.code_cdfs])
    start_error = ((4 << (index >> 2)) * (256, 304, 362, 431)[index & 3]) >> 8
    predictors = Predictors(effort, height, width, peak, reference is not None)
    walk = _Walk(stream, (height, width), peak, bound, predictors, model, code, reference)
    walk.surround(start, start_error)
    for y in range(height):
        walk.row(y)
    stream.check_end()
    return walk.pixels[MARGIN:, MARGIN : MARGIN + width].copy()


@dataclass(frozen=True)
class _Forecast:
    """What is known of a pixel when the network is asked."""

    predictions: list[int]
    recent: list[int]  # recent misses
    blend: int  # B
    scale: int  # s
    log_scale: int  # L


class _Walk:
    """A tile while it is decoded. Arrays have four rows of margin above and four columns on each side."""

    def __init__(
        self,
        stream: _Stream,
        shape: tuple[int, int],
        peak: int,
        bound: int,
        predictors: Predictors,
        model: ReferenceModel,
        code: np.ndarray,
        reference: np.ndarray | None,
    ) -> None:
        self.stream, self.model, self.modulation = stream, model, model.modulation(code)
        self.width, self.peak, self.step = shape[1], peak, 2 * bound + 1
        self.predictors, self.reference = predictors, reference
        margined = (shape[0] + MARGIN, shape[1] + 2 * MARGIN)
        self.pixels = np.zeros(margined, np.int64)
        self.errors = np.zeros(margined, np.int64)  # E
        self.finals = np.zeros(margined, np.int64)  # F
        self.online = _Online()
        self.flat_chance = [32768, 62000]
        self.flat_before = 0
        self.log_step = model.log2(self.step)

    def surround(self, start: int, start_error: int) -> None:
        """What stands outside of the tile before its first row."""
        for array, value in self._known(start, start_error):
            array[:MARGIN] = value
            array[MARGIN, :MARGIN] = value

    def _known(self, pixel: int, error: int) -> tuple[tuple[np.ndarray, int], ...]:
        return (self.pixels, pixel), (self.errors, error), (self.predictors.misses, error)

    def row(self, y: int) -> None:
        r = y + MARGIN
        if y > 0:
            for array, _ in self._known(0, 0):
                array[r, :MARGIN] = array[r - 1, MARGIN]
                array[r - 1, MARGIN + self.width :] = array[r - 1, MARGIN + self.width - 1]
        self.predictors.new_row()
        for x in range(self.width):
            self._pixel(y, x)

    def _pixel(self, y: int, x: int) -> None:
        around = surroundings(self.pixels, self.reference, y + MARGIN, x + MARGIN)
        flat = all(value == around.v[0] for value in around.v[:10])
        if flat and self._same_again():
            pixel = around.p[0]
            self.pixels[y + MARGIN, x + MARGIN] = pixel  # errors, final error and misses stay 0
        else:
            pixel = self._coded_pixel(y, x, around)
        self.predictors.learn(y, x, around, pixel)

    def _same_again(self) -> bool:
        chance = self.flat_chance[self.flat_before]
        same = self.stream.event(chance)
        if same:
            self.flat_chance[self.flat_before] = min(chance + ((65536 - chance) >> 5), 65472)
        else:
            self.flat_chance[self.flat_before] = max(chance - (chance >> 5), 64)
        self.flat_before = int(same)
        return same

    # -------------------------------------------------------------------------------- network inputs
    def _forecast(self, y: int, x: int, around: Surroundings) -> _Forecast:
        predictions = self.predictors.predict(y, x, around)
        recent = self.predictors.recent(y, x)
        weights = (4, 4, 2, 2, 2, 2, 1, 1)  # in the order of the neighbours
        near = self._near(self.errors, y, x, 8)
        total = sum(weight * abs(error) for weight, error in zip(weights, near, strict=True))
        scale = ((total * 37) >> 10) + 5
        return _Forecast(predictions, recent, blend(predictions, recent), scale, self.model.log2(scale))

    @staticmethod
    def _near(array: np.ndarray, y: int, x: int, count: int) -> list[int]:
        return [int(array[y + MARGIN + dy, x + MARGIN + dx]) for dy, dx in NEIGHBOURS[:count]]

    def _inputs(self, y: int, x: int, around: Surroundings, forecast: _Forecast) -> list[int]:
        """The 64 inputs of the network."""
        log2, log_scale = self.model.log2, forecast.log_scale
        b, predictions = forecast.blend, forecast.predictions
        p, activity = around.p, around.activity
        errors = self._near(self.errors, y, x, 10)

        def against(value: int) -> int:
            return clip((log2(value) - log_scale) >> 4, -127, 127)

        r, c = y + MARGIN, x + MARGIN
        wide = int(np.abs(self.errors[r - 1, c - 3 : c + 4]).sum())
        wide += int(np.abs(self.errors[r - 2, c - 2 : c + 3]).sum())
        absent = 5 - len(predictions)
        bent = [prediction - b for prediction in predictions] + [0] * absent
        bent += [64 * pixel - b for pixel in p[:16]] + errors + [b]
        inputs = bend(bent, forecast.scale)
        inputs += [
            clip(min((log_scale - 2304) >> 4, 0), -127, 0),
            against(16 * activity // 10 + 16),
            against((abs(errors[0]) + abs(errors[1])) // 2 + 4),
            against(wide // 12 + 4),
            against(max(predictions) - min(predictions) + 4),
            (b % 64 - 32) * 3,
            12 * sum(value == around.v[0] for value in around.v[1:10]),
            against(32 * (abs(p[0] - p[2]) + abs(p[1] - p[5])) + 4),
            against(32 * (abs(p[1] - p[2]) + abs(p[0] - p[4])) + 4),
            against(max(abs(error) for error in errors[:6]) + 4),
        ]
        inputs += [against((miss >> 3) + 4) for miss in forecast.recent] + [-127] * absent
        inputs += [min(log2(y * self.width + x + 1) >> 5, 127)]
        if self.reference is None:
            return inputs + [0] * 16
        bent = [16 * value + 16 * around.m4 - b for value in around.w[:11]] + [64 * around.here - b]
        inputs += bend(bent, forecast.scale)
        apart = sum(abs(v - u) for v, u in zip(around.v[:10], around.u, strict=True))
        reference_activity = sum(abs(u) for u in around.u)
        inputs += [against(16 * apart // 10 + 16), 127, against(16 * reference_activity // 10 + 16), 0]
        return inputs

    # -------------------------------------------------------------------------------- one coded pixel
    def _coded_pixel(self, y: int, x: int, around: Surroundings) -> int:
        r, c = y + MARGIN, x + MARGIN
        online, step = self.online, self.step
        forecast = self._forecast(y, x, around)
        scale = forecast.scale
        inputs = self._inputs(y, x, around, forecast)
        outputs = self.model.network(inputs, self.modulation, self.predictors.effort)
        mean = forecast.blend + ((clip(outputs[0], -768, 768) * scale) >> 8)
        log_scale = forecast.log_scale + clip(outputs[1], -768, 768)
        tail = clip((outputs[2] + 128) >> 8, 0, 7)

        recent = [*self._near(self.finals, y, x, 4), inputs[0], inputs[21]]
        class_before = (log_scale - 256 - self.log_step) >> 6
        west, north = self._near(self.errors, y, x, 2)
        bias_context = self._bias_context(west, north, scale, class_before)
        shift = online.correction(recent) + (online.bias[bias_context] >> 16)
        mean = clip(mean + ((shift * scale) >> 6), 0, 64 * self.peak)
        ratio = inputs[34]
        ratio_class = 0 if ratio < -6 else 1 if ratio < 6 else 2 if ratio < 16 else 3
        scale_context = 4 * (clip(class_before, 0, 33) // 2) + ratio_class
        log_scale += (online.scale[scale_context] + online.scale_all) >> 16
        scale_class = clip((log_scale - 256 - self.log_step) >> 6, 0, 87)
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
            pixel = centre + (((symbol - 127) << low) + self.stream.raw(low)) * step
        pixel = clip(pixel, 0, self.peak)

        rest = clip(64 * (64 * pixel - mean) // scale, -512, 512)
        self.pixels[r, c] = pixel
        self.errors[r, c] = 64 * pixel - forecast.blend
        self.finals[r, c] = clip(rest + shift, -255, 255)
        self.predictors.misses[r, c] = [abs(64 * pixel - prediction) for prediction in forecast.predictions]
        online.update_filter(recent, rest)
        online.update_bias(bias_context, rest)
        slope = 512
        if symbol != ESCAPE:
            wider = int(self.model.frequencies[scale_class + 1, fraction, tail, symbol])
            narrower = int(self.model.frequencies[max(scale_class - 1, 0), fraction, tail, symbol])
            slope = self.model.log2(max(wider, 1)) - self.model.log2(max(narrower, 1))
        online.update_scale(scale_context, slope)
        return pixel

    @staticmethod
    def _bias_context(west: int, north: int, scale: int, scale_class: int) -> int:
        def sign(error: int) -> int:
            return 0 if 2 * error < -scale else 2 if 2 * error > scale else 1

        return (3 * sign(west) + sign(north)) * 6 + clip((scale_class - 4) // 5, 0, 5)


def bend(values: list[int], scale: int) -> list[int]:
    """Values over the scale, squeezed into -127..127; float32, and exact up to there: all are below 2^24."""
    t = np.array(values).astype(np.float32) * (np.float32(0.25) / np.float32(scale))
    bent = np.trunc(np.float32(127.0) * (t / (np.float32(1.0) + np.abs(t))))
    return [int(value) for value in bent]
