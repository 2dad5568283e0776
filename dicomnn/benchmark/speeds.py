"""Speeds in MB/s of 16-bit pixels (two bytes a pixel, whatever the file has), and memory, by codec."""

from __future__ import annotations

from dataclasses import dataclass

from dicomnn.benchmark.stages import Stage

MEGABYTE = 1e6


@dataclass(frozen=True)
class Speed:
    """`encode` and `decode` are of the stage: all its workers together, by the wall. The `_core` ones go by
    seconds of a processor. None where nothing was timed. `memory`: largest resident size of a worker, bytes.
    """

    codec: str
    workers: int
    pixels: int
    encode: float | None
    decode: float | None
    encode_core: float | None
    decode_core: float | None
    memory: int
    wall: float


def speed(stage: Stage) -> Speed:
    """Over all units of `stage` that were done."""
    done = [result for result in stage.results.values() if result.status == "done"]
    decoded = [result for result in done if not result.kept]

    def rate(pixels: int, seconds: float) -> float | None:
        return 2 * pixels / MEGABYTE / seconds if seconds > 0 else None

    pixels, decoded_pixels = (sum(result.pixels for result in part) for part in (done, decoded))
    return Speed(
        codec=stage.codec,
        workers=stage.workers,
        pixels=pixels,
        encode=rate(pixels * stage.workers, sum(result.encode_wall for result in done)),
        decode=rate(decoded_pixels * stage.workers, sum(result.decode_wall for result in decoded)),
        encode_core=rate(pixels, sum(result.encode_cpu for result in done)),
        decode_core=rate(decoded_pixels, sum(result.decode_cpu for result in decoded)),
        memory=max((result.memory for result in done), default=0),
        wall=stage.wall,
    )
