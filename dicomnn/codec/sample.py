"""What a stored sample looks like: the bit fields of the Image Pixel module (PS3.5 section 8.1.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dicomnn.errors import SamplesInvalid


@dataclass(frozen=True)
class SampleFormat:
    """Where the stored value lies inside of a raw word.

    ``bits_allocated`` is 8 or 16 (the word), ``bits_stored`` 1..bits_allocated, ``high_bit`` the position of
    the value's most significant bit, ``signed`` whether it is two's complement in ``bits_stored`` bits.
    Raises SamplesInvalid for a combination that fits no word.
    """

    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool

    def __post_init__(self) -> None:
        if self.bits_allocated not in (8, 16):
            raise SamplesInvalid(f"Bits Allocated is {self.bits_allocated}; the codec takes 8 or 16.")
        if not 1 <= self.bits_stored <= self.bits_allocated:
            raise SamplesInvalid(
                f"Bits Stored is {self.bits_stored}; it must lie in 1..{self.bits_allocated}."
            )
        if not self.bits_stored - 1 <= self.high_bit < self.bits_allocated:
            raise SamplesInvalid(
                f"High Bit is {self.high_bit}; with {self.bits_stored} bits stored of {self.bits_allocated} "
                f"it must lie in {self.bits_stored - 1}..{self.bits_allocated - 1}."
            )

    @property
    def dtype(self) -> np.dtype:
        """Type of a raw word in memory: uint8 or uint16, native byte order."""
        return np.dtype(np.uint8 if self.bits_allocated == 8 else np.uint16)

    @property
    def shift(self) -> int:
        """Number of bits below the stored value."""
        return self.high_bit + 1 - self.bits_stored

    @property
    def mask(self) -> int:
        """``bits_stored`` ones."""
        return (1 << self.bits_stored) - 1

    @property
    def side_bits(self) -> int:
        """Number of bits of a word that do not belong to the stored value."""
        return self.bits_allocated - self.bits_stored


def stored_values(words: np.ndarray, sample_format: SampleFormat) -> np.ndarray:
    """The stored values of raw ``words`` (any shape): int32, signed where the format says so."""
    values = (words.astype(np.int32) >> sample_format.shift) & sample_format.mask
    if sample_format.signed:
        sign = 1 << (sample_format.bits_stored - 1)
        values = (values ^ sign) - sign
    return values


def little_endian_bytes(words: np.ndarray) -> bytes:
    """Raw words (any shape) as in a little endian data set: what the pixel digest is taken over."""
    return words.astype(words.dtype.newbyteorder("<"), copy=False).tobytes()
