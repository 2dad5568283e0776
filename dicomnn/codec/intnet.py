"""Integer convolutions evaluated exactly by torch: the only torch import in the codec.

Weights, activations and biases are integers and every possible sum stays below 2^24 (checked when a
model is loaded), so float32 convolution gives the same integers in any order of summation. What
would break that is switched off around each call: autocast (bfloat16 products), NNPACK (Winograd
transforms at batches of 16 and more when oneDNN is off), TF32. Requantisation is a shift with floor.
Only the encoder runs convolutions; decoding a lossless or bounded tile needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..errors import InexactArithmetic

HIDDEN_LIMIT = 255


@contextmanager
def exact(torch: Any) -> Iterator[None]:
    """Guards for exact float32 integer arithmetic; restores the caller's settings."""
    nnpack = torch.backends.nnpack.set_flags(False)[0]
    tf32 = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
    precision = torch.get_float32_matmul_precision()
    # The images are small, and tiles already run side by side: more threads would only wait for each other.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = tf32[1]
        torch.backends.nnpack.set_flags(nnpack)


def convolve(x: np.ndarray, weights: np.ndarray, bias: np.ndarray, shift: int, stride: int = 2) -> np.ndarray:
    """max(0, min(255, (conv(x, w) + b) >> shift)) for integers.

    x: (B, C, h, w) int8 or uint8; weights (O, C, k, k) int16; bias (O,) int32. Returns (B, O, h', w')
    uint8, no padding.
    """
    import torch

    with exact(torch):
        t = torch.nn.functional.conv2d(
            torch.from_numpy(x.astype(np.float32)),
            torch.from_numpy(weights.astype(np.float32)),
            torch.from_numpy(bias.astype(np.float32)),
            stride=stride,
        )
        t = torch.clamp(torch.floor(t * (2.0**-shift)), 0, HIDDEN_LIMIT)
        return t.to(torch.uint8).numpy()


def convolve_plain(
    x: np.ndarray, weights: np.ndarray, bias: np.ndarray, shift: int, stride: int = 2
) -> np.ndarray:
    """`convolve` in int64 NumPy: the definition that the fast form must meet."""
    k = weights.shape[-1]
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.int64), (k, k), axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride]
    total = np.einsum("bchwij,ocij->bohw", windows, weights.astype(np.int64)) + bias[None, :, None, None]
    return np.clip(total >> shift, 0, HIDDEN_LIMIT).astype(np.uint8)


def self_test(weights: list[tuple[np.ndarray, np.ndarray, int, int, int]]) -> None:
    """Adversarial images through each layer (weights, bias, shift, lowest, highest input), both ways.

    Batch 17 reaches the kernels that libraries reserve for larger batches. Raises InexactArithmetic.
    """
    for w, b, shift, lowest, highest in weights:
        images = np.where(w >= 0, highest, lowest).astype(np.int16)
        images = np.concatenate([images, np.where(w >= 0, lowest, highest)])[:17]
        images = np.resize(images, (17, *w.shape[1:]))
        images = np.tile(images, (1, 1, 3, 3))
        if not np.array_equal(convolve(images, w, b, shift), convolve_plain(images, w, b, shift)):
            raise InexactArithmetic("torch's convolution gave other integers than int64 arithmetic")
