"""The seed's codec on an image, to compare with: a page that makes pictures, shows them and keeps nothing.

The one place outside of `dicomnn.seed` that knows the seed's codec (`.importlinter`).
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import numpy as np
from flask import Blueprint, g, render_template, request

from dicomnn.dicom.mark import lossy_words, marked
from dicomnn.errors import FrameUndecodable, ModelCorrupt, UnknownModel, UsageError
from dicomnn.flow import viewing
from dicomnn.flow.frames import tag_of
from scp.web.guard import READ

if TYPE_CHECKING:
    from dicomnn.flow.frames import Instance
    from scp.web.app import Walks

KERNELS, SIDES = (3, 2), (256, 128)


def add(pages: Blueprint, walks: Walks) -> None:
    frames = walks.frames

    @pages.get("/studies/<study>/instances/<uid>/seed/<int:number>")
    def seed(study: str, uid: str, number: int) -> str:
        g.caller.must(READ)
        g.deed = ("compare with the seed's codec", study, f"{uid} frame {number}")
        kernel, side = _one_of("filters", KERNELS), _one_of("side", SIDES)
        instance = frames.find(study, "", uid)
        made, missing = None, ""
        try:
            made = _made(walks, instance, number, kernel, side)
        except (UnknownModel, ModelCorrupt) as error:
            missing = str(error)
        return render_template(
            "seed.html",
            study=study,
            uid=uid,
            number=number,
            number_of_frames=frames.image(instance).frames,
            instance_number=instance.attributes.get("instance_number"),
            loss=viewing.loss_of(frames, instance),
            kernel=kernel,
            side=side,
            kernels=KERNELS,
            sides=SIDES,
            made=made,
            missing=missing,
        )


def _one_of(name: str, allowed: tuple[int, ...]) -> int:
    text = request.args.get(name, str(allowed[0]))
    if text not in map(str, allowed):
        raise UsageError(
            f"{name} must be {' or '.join(map(str, allowed))}, not '{text[:20]}'",
            cure="Choose it on the page.",
        )
    return int(text)


def _made(walks: Walks, instance: Instance, number: int, kernel: int, side: int) -> dict[str, Any]:
    """Pictures as PNG in Base64 and figures; a while in the cache of frames.

    Raises UnknownModel, ModelCorrupt (of the seed), and what `viewing.values` raises.
    """
    key = ("seed", tag_of(instance), number, kernel, side)
    found: dict[str, Any] = json.loads(
        walks.frames.cache.once(key, lambda: _compared(walks, instance, number, kernel, side))
    )
    return found


def _compared(walks: Walks, instance: Instance, number: int, kernel: int, side: int) -> bytes:
    from dicomnn.seed.codec.triple import beside, shown_model, square, triple

    model = shown_model(kernel)
    values = viewing.plane(viewing.values(walks.frames, instance, number))
    if values.ndim != 2:
        raise FrameUndecodable(
            "this image is in colour, and the seed's codec takes grey ones",
            subject=instance.sop_instance_uid,
            cure="Choose a grey image.",
        )
    if walks.frames.image(instance).photometric_interpretation == "MONOCHROME1":
        values = -values.astype(np.float32)  # as it is seen
    made = triple(square(values, side), model)
    try:
        own = walks.services.archive.shelf.newest()
    except UnknownModel:
        own = None
    ours = beside(made, own)
    before = viewing.loss_of(walks.frames, instance)
    first = ours[0].metrics
    pictures = {
        "original": _marked(made.original, before),
        "latent": made.latent,
        "decompressed": _marked(made.decompressed, lossy_words([made.metrics.ratio])),
        "ours": _marked(ours[0].decoded, lossy_words([first.ratio]) if first.mse else before),
    }
    told = {
        "pictures": {name: _png(picture) for name, picture in pictures.items()},
        "model": model.id,
        "weights": model.network.weights(),
        "latent_values": int(made.latent.size),
        "seed": made.metrics._asdict(),
        "ours": [{"profile": each.profile, **each.metrics._asdict()} for each in ours],
    }
    return json.dumps(told).encode()


def _marked(picture: np.ndarray, words: str) -> np.ndarray:
    return marked(picture, words) if words else picture


def _png(picture: np.ndarray) -> str:
    import imagecodecs

    return b64encode(bytes(imagecodecs.png_encode(np.ascontiguousarray(picture), level=3))).decode()
