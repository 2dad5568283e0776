"""Network and integers are two forms of one thing; a model that is not what was trained is not released."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dicomnn.codec.autoencoder import tile_code
from dicomnn.codec.model import Model
from dicomnn.errors import ModelCorrupt, TrainingError
from dicomnn.shelf import default_shelf
from dicomnn.training import export, verification
from dicomnn.training.images.catalogue import Catalogue
from dicomnn.training.images.planes import PlaneCache
from dicomnn.training.network import TileCodec
from dicomnn.training.stopping import Teller
from tests.codec.conftest import made_model_bytes

LEARNED = ("causal", "encoder", "decoder")


@pytest.mark.parametrize("model_id", default_shelf().ids())
def test_a_released_model_read_back_exports_the_same_integers(model_id: str) -> None:
    arrays = default_shelf().get(model_id).arrays
    again = export.arrays_of(export.load_network(arrays), export.no_codes())
    for name in arrays:
        if name.startswith(LEARNED):
            np.testing.assert_array_equal(again[name], arrays[name], err_msg=name)


def test_a_network_read_back_sees_the_same_code_as_the_integers() -> None:
    model = default_shelf().newest()
    maps = np.random.default_rng(2).integers(-127, 128, (3, 4, 50, 61)).astype(np.int8)
    with torch.no_grad():
        code = export.load_network(model.arrays).encoder(torch.from_numpy(maps).float() / 16).numpy()
    np.testing.assert_array_equal(code, tile_code(model, maps))


def test_a_model_of_another_shape_is_refused_to_go_on_from() -> None:
    with pytest.raises(ModelCorrupt, match="this version trains"):
        export.load_network(Model.from_bytes(made_model_bytes(5)).arrays)


def exported(network: TileCodec, **change: object) -> Model:
    return export.export(network, export.no_codes(), {"made": "for a test", **change})


def test_a_right_export_is_proven_and_measured(catalogued: Catalogue) -> None:
    torch.manual_seed(0)
    found = verification.verify(
        exported(TileCodec()), catalogued.planes, PlaneCache(catalogued.shelf), Teller().progress
    )
    chosen = verification.spread(catalogued.planes, 16)
    referring = [bool(plane.before) for plane in chosen]  # every second plane has one before it
    assert found["tiles"] == 16 and set(found["groups"]) == {"CT", "CT ref", "MR", "MR ref"}
    assert sum(found["groups"][name]["tiles"] for name in ("CT ref", "MR ref")) == sum(referring) > 4
    trips = [(3 if number < 4 else 1) * (1 + refers) for number, refers in enumerate(referring)]
    assert found["round_trips"] == sum(trips) + 4 and found["largest_sum"] < 1 << 24
    for group in found["groups"].values():
        assert 0.9 < group["bits_per_pixel"] / group["promised_bits_per_pixel"] < 1.1


def test_an_export_that_codes_badly_is_not_released(
    catalogued: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = TileCodec()
    right = export.arrays_of

    def wrong(network: TileCodec, codes: np.ndarray) -> dict[str, np.ndarray]:
        arrays = right(network, codes)
        arrays["frequencies"] = arrays["frequencies"][::-1].copy()  # the tables of other scales
        return arrays

    monkeypatch.setattr(export, "arrays_of", wrong)
    with pytest.raises(TrainingError, match="not what was trained"):
        verification.verify(
            exported(network), catalogued.planes, PlaneCache(catalogued.shelf), Teller().progress
        )


def test_a_wrong_fingerprint_is_not_released(catalogued: Catalogue) -> None:
    torch.manual_seed(0)
    arrays = export.arrays_of(TileCodec(), export.no_codes())
    model = Model.from_bytes(export.to_bytes(arrays, {"fingerprint": "0" * 64}))
    with pytest.raises(TrainingError, match="fingerprint"):
        verification.verify(model, catalogued.planes, PlaneCache(catalogued.shelf), Teller().progress)


def test_weights_whose_sums_could_leave_exactness_are_not_exported() -> None:
    network = TileCodec()
    with torch.no_grad():
        network.encoder.convolutions[2].weight.fill_(1.9)
    with pytest.raises(ModelCorrupt, match="encoder3 can reach"):
        exported(network)
