"""A trained autoencoder with what it takes to make bytes of its latents; and its own file, an .npz.

Neither has anything to do with the models that code for an archive: the id is 8 hex digits where a payload
has room for 32, the file is no DNNMODEL, and the streams begin with SEED where a payload begins with DNNP.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from dicomnn.errors import ModelCorrupt, PayloadCorrupt, SamplesInvalid, UnknownModel
from dicomnn.seed.codec.coding import SYMBOLS, decode_symbols, encode_symbols, tables_of
from dicomnn.seed.codec.network import Autoencoder, Design

MAGIC = b"SEED"
LEVELS = SYMBOLS - 1
FORMAT = 1


@dataclass(frozen=True, eq=False)
class SeedModel:
    """``low``, ``high`` (channels,) or (512,) float32: the range of each channel (dense: of each value) over
    the training images, cut into 256 steps. ``tables`` (channels or 1, 257) uint32.
    """

    network: Autoencoder
    low: np.ndarray
    high: np.ndarray
    tables: np.ndarray

    @property
    def design(self) -> Design:
        return self.network.design

    @cached_property
    def id(self) -> str:
        """Of weights, ranges and tables: 8 hex digits."""
        digest = hashlib.sha256(self.design.name.encode())
        for name, array in sorted(self._arrays().items()):
            digest.update(name.encode() + array.tobytes())
        return digest.hexdigest()[:8]

    # ------------------------------------------------------------------ images and latents
    @torch.no_grad()
    def latent(self, image: np.ndarray) -> np.ndarray:
        """Symbols uint8, (6, rows/4, columns/4) or (512,), of an image (rows, columns) float in [0, 1].

        Raises SamplesInvalid.
        """
        checked = checked_image(image)
        self.network.latent_shape(*checked.shape)
        found = self.network.encode(torch.from_numpy(checked)[None, None])[0].numpy()
        low, high = self._range(found.ndim)
        scaled = np.rint(LEVELS * (found - low) / (high - low))
        return np.clip(scaled, 0, LEVELS).astype(np.uint8)

    @torch.no_grad()
    def image(self, latent: np.ndarray) -> np.ndarray:
        """(rows, columns) float32 of 8-bit steps in [0, 1]: what decompression gives."""
        low, high = self._range(latent.ndim)
        values = (low + latent * ((high - low) / np.float32(LEVELS))).astype(np.float32)
        found = self.network.decode(torch.from_numpy(values)[None])[0, 0].numpy()
        return np.rint(np.clip(found, 0, 1) * 255).astype(np.float32) / 255

    def _range(self, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
        shape = (-1, 1, 1) if dimensions == 3 else (-1,)
        return self.low.reshape(shape), self.high.reshape(shape)

    # ------------------------------------------------------------------ latents and bytes
    def encode(self, image: np.ndarray) -> bytes:
        """The whole file: SEED, 4 bytes of the model's id, rows / 4, columns / 4, the stream."""
        rows, columns = image.shape
        head = MAGIC + bytes.fromhex(self.id) + bytes([rows // 4, columns // 4])
        return head + encode_symbols(self.latent(image).reshape(len(self.tables), -1), self.tables)

    def decode_latent(self, data: bytes) -> np.ndarray:
        """The symbols from a file's bytes alone. Raises PayloadCorrupt, UnknownModel."""
        if data[:4] != MAGIC or len(data) < 10:
            raise PayloadCorrupt("These are no bytes of the seed's codec.")
        if data[4:8].hex() != self.id:
            raise UnknownModel(
                f"The bytes were made by the seed model {data[4:8].hex()}, not by {self.id}.",
                cure="Decode them with the model that made them.",
            )
        try:
            shape = self.network.latent_shape(4 * data[8], 4 * data[9])
        except SamplesInvalid as problem:
            raise PayloadCorrupt("A seed file claims a size that its model cannot make.") from problem
        count = int(np.prod(shape)) // len(self.tables)
        return decode_symbols(data[10:], self.tables, count).reshape(shape)

    def decode(self, data: bytes) -> np.ndarray:
        """The image, (rows, columns) float32 in [0, 1], from a file's bytes alone."""
        return self.image(self.decode_latent(data))

    # ------------------------------------------------------------------ its own file
    def to_bytes(self) -> bytes:
        """An .npz of plain arrays."""
        file = io.BytesIO()
        d = self.design
        about = np.array([FORMAT, int(d.variant == "dense"), d.side, d.kernel], np.int32)
        arrays: dict[str, Any] = {"about": about, **self._arrays()}
        np.savez_compressed(file, **arrays)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> SeedModel:
        """Raises ModelCorrupt."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as found:
                arrays = dict(found)
            version, dense, side, kernel = arrays.pop("about").tolist()
            if version != FORMAT:
                raise ValueError(f"format {version}")
            low, high, tables = arrays.pop("low"), arrays.pop("high"), arrays.pop("tables")
            network = Autoencoder(Design("dense" if dense else "pool", side, kernel))
            network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
        except (ValueError, KeyError, OSError, EOFError, RuntimeError, zipfile.BadZipFile) as problem:
            raise ModelCorrupt(
                f"This is no model of the seed's codec ({problem}).", cure="Make it anew: make seed."
            ) from problem
        return cls(network.eval(), low, high, tables)

    def _arrays(self) -> dict[str, np.ndarray]:
        weights = {name: value.detach().numpy() for name, value in self.network.state_dict().items()}
        return {**weights, "low": self.low, "high": self.high, "tables": self.tables}


@torch.no_grad()
def fitted(network: Autoencoder, images: np.ndarray) -> SeedModel:
    """The model of a network: ranges and tables over ``images`` (N, S, S) uint8, those it trained on."""
    network = network.eval()
    parts = [
        network.encode(torch.from_numpy(images[at : at + 16]).float()[:, None] / 255).numpy()
        for at in range(0, len(images), 16)
    ]
    latents = np.concatenate(parts)
    axes = (0, 2, 3) if latents.ndim == 4 else (0,)
    low, high = latents.min(axes), latents.max(axes)
    high = np.maximum(high, low + np.float32(1e-6))
    tables = 1 if latents.ndim == 2 else latents.shape[1]
    bare = SeedModel(network, low, high, np.zeros((tables, SYMBOLS + 1), np.uint32))
    low, high = (each[:, None, None] if latents.ndim == 4 else each for each in (low, high))
    symbols = np.clip(np.rint(LEVELS * (latents - low) / (high - low)), 0, LEVELS).astype(np.uint8)
    by_table = symbols.reshape(len(latents), tables, -1).swapaxes(0, 1).reshape(tables, -1)
    counts = np.stack([np.bincount(row, minlength=SYMBOLS) for row in by_table])
    return SeedModel(network, bare.low, bare.high, tables_of(counts))


def checked_image(image: np.ndarray) -> np.ndarray:
    """float32 (rows, columns). Raises SamplesInvalid for anything but finite numbers in [0, 1]."""
    if image.ndim != 2 or image.dtype.kind != "f":
        raise SamplesInvalid(
            f"The seed's codec takes floats (rows, columns), not {image.dtype} {image.shape}."
        )
    if not (np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1):
        raise SamplesInvalid("The seed's codec takes values in [0, 1].")
    return np.ascontiguousarray(image, np.float32)
