"""`dicomnn train-lossy`: released and proven, interruptible, goes on, fits a model to other images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dicomnn.codec.lossy.frame import decode_frame, encode_frame, index_of
from dicomnn.errors import TrainingError
from dicomnn.shelf import LossyShelf
from dicomnn.training.images.catalogue import Catalogue
from dicomnn.training.images.planes import PlaneCache
from dicomnn.training.images.split import SplitRequest
from dicomnn.training.lossy import validation
from dicomnn.training.lossy.fitting import begin, fit, model_of
from dicomnn.training.lossy.frames import Drawer, quantised
from dicomnn.training.lossy.network import ScaleNetwork
from dicomnn.training.lossy.run import LossyOrder, train_lossy
from dicomnn.training.lossy.trainer import LossyTrainer, Recipe
from dicomnn.training.lossy.verification import verify
from dicomnn.training.run_images import ImageOrder, command_words
from dicomnn.training.stopping import Interrupted, Stop, Teller
from tests.training import trees
from tests.training.conftest import Trained, dicomnn

QUICK = ("--start-pool", 6, "--checks", 6, "--every", 10, "--fits", 4, "--final", 6, "--pool", 20)
SMALL = Recipe(start_pool=6, checks=6, every=10, fits=4, final=6, pool=20, frames=8, places=32)


@pytest.fixture(scope="module")
def trained_lossy(hospital: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    root = tmp_path_factory.mktemp("lossy")
    models = root / "models"
    result = dicomnn(
        "train-lossy", hospital, "--run", root / "run", "--models", models, "--minutes", 0.1, *QUICK
    )
    assert result.exit_code == 0, result.output
    return Trained(hospital, root / "run", models / "lossy", result)


class Stopper(Teller):
    """Asks to stop when the training has come so far."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop

    def progress(self, what: str, done: int, total: int, detail: str = "") -> None:
        self._stop.asked = what == "training"


def test_a_released_model_is_the_newest_and_codes(trained_lossy: Trained) -> None:
    model = LossyShelf([trained_lossy.models.parent]).newest()
    assert trained_lossy.place.name == model.id and model.id in trained_lossy.result.stdout
    plane = trees.texture(5)
    decoded = decode_frame(encode_frame(plane, index_of(4.0), model), plane.shape, model)
    assert np.abs(decoded.astype(int) - plane).max() < 20


def test_a_release_has_manifest_curves_picture_and_card(trained_lossy: Trained) -> None:
    place = trained_lossy.place
    assert {path.name for path in place.iterdir()} == {
        "model.bin", "manifest.json", "curves.json", "curves.png", "CARD.md"
    }  # fmt: skip
    manifest = json.loads((place / "manifest.json").read_text())
    assert manifest["verification"]["frames"] > 0 and manifest["data"]["counts"]["train"]["images"] > 0
    curves = json.loads((place / "curves.json").read_text())
    assert curves[-1]["step"] == manifest["about"]["steps"] > 0 and curves[-1]["all bits"] > 0
    card = (place / "CARD.md").read_text()
    for told in ("siemens scanner 0", "| CT |", "bits at equal error", "dicomnn train-lossy FOLDER"):
        assert told in card
    assert "sub" not in json.dumps(manifest) and str(trained_lossy.images) not in card


def test_the_same_command_goes_on_or_has_nothing_to_do(trained_lossy: Trained) -> None:
    again = ("train-lossy", trained_lossy.images, "--run", trained_lossy.run)
    models = ("--models", trained_lossy.models.parent)
    result = dicomnn(*again, *models, "--minutes", 0.1, *QUICK)
    assert result.exit_code == 0 and "nothing to do" in result.stdout
    other = dicomnn(*again, *models, "--minutes", 0.1, *QUICK[2:])
    assert other.exit_code == 2 and "other settings" in other.output


def test_a_model_is_released_on_from_another_only_if_it_does_better(
    trained_lossy: Trained, tmp_path: Path
) -> None:
    result = dicomnn(
        "train-lossy", trained_lossy.images, "--run", tmp_path / "run",
        "--models", trained_lossy.models.parent, "--minutes", 0.02,
        "--from", trained_lossy.place.name, "--rate", 1e-9, *QUICK,
    )  # fmt: skip
    first = json.loads((tmp_path / "run" / "curves.jsonl").read_text().splitlines()[0])
    assert first["step"] == 0 and first["all equal"] == pytest.approx(1.0)
    assert result.exit_code in (0, 1)
    assert ("not released" in result.stdout) == (result.exit_code == 1)


def test_a_run_that_is_stopped_saves_and_goes_on(
    catalogued: Catalogue, hospital: Path, tmp_path: Path
) -> None:
    order = LossyOrder((hospital,), tmp_path / "run", 0.05, tmp_path / "models", recipe=SMALL)
    stop = Stop()
    assert train_lossy(order, Stopper(stop), stop).status == "stopped"
    assert (tmp_path / "run" / "checkpoint.pt").exists() and not (tmp_path / "models").exists()
    outcome = train_lossy(order, Teller(), Stop())
    assert outcome.status == "released"
    curves = json.loads((tmp_path / "models" / "lossy" / outcome.model_id / "curves.json").read_text())
    steps = [record["step"] for record in curves]
    assert steps == sorted(set(steps))


def test_training_and_fitting_save_bits(catalogued: Catalogue, tmp_path: Path) -> None:
    drawer = Drawer(catalogued.planes, PlaneCache(catalogued.shelf), 1)
    drawn = [drawer.draw(number) for number in range(9)]
    plain, _ = model_of(begin(ScaleNetwork(SMALL.seed)), {})
    before = validation.coded(drawn, plain)
    fitted = fit(ScaleNetwork(SMALL.seed), drawn, rounds=2)
    bits = validation.score(
        validation.figures(drawn, validation.coded(drawn, model_of(fitted, {})[0]), before)
    )
    assert bits < 0.95
    trainer = LossyTrainer(tmp_path, SMALL, drawer, drawn, images="these")
    assert trainer.train(6.0, Stop())
    assert trainer.best is not None
    trained = validation.coded(drawn, model_of(trainer.best.arrays, {})[0])
    assert validation.score(validation.figures(drawn, trained, before)) < bits
    assert verify(*model_of(trainer.best.arrays, {}), drawn)["frames"] == 9


def test_draws_follow_from_seed_and_number_and_spread_over_the_rates(catalogued: Catalogue) -> None:
    def drawer() -> Drawer:
        return Drawer(catalogued.planes, PlaneCache(catalogued.shelf), 3)

    one, other = drawer().draw(7), drawer().draw(7)
    assert one.quality == other.quality and (one.plane == other.plane).all()
    many = drawer()
    rates = [quantised(many.draw(n), None).bits / many.draw(n).plane.size for n in range(12)]
    assert max(rates[0::3]) < max(rates[2::3]) and min(rates) < 0.2 and max(rates) > 0.7


def test_a_piece_that_does_not_come_back_stops_the_release(
    catalogued: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = [Drawer(catalogued.planes, PlaneCache(catalogued.shelf), 1).draw(0)]
    model, file = model_of(begin(ScaleNetwork(1)), {})
    damaged = "dicomnn.training.lossy.verification.decode_frame"
    monkeypatch.setattr(damaged, lambda stream, shape, model: np.zeros(shape, np.uint16))
    with pytest.raises(TrainingError, match="does not come back"):
        verify(model, file, drawn)


def test_the_command_of_the_card_names_what_was_asked_for(tmp_path: Path) -> None:
    request = SplitRequest(0.2, 0.1, ("clinic",), (), shared_scanners=True)
    order = ImageOrder((tmp_path,), tmp_path, 5, tmp_path, request, weights={"CT": 0.5})
    words = " ".join(command_words(order, "dicomnn train"))
    assert words == (
        "dicomnn train FOLDER --run runs/NAME --minutes 5 --validation SOURCES --validation-share 0.2 "
        "--shared-scanners --weights CT=0.5"
    )


def test_stopping_while_fitting_leaves_at_once(catalogued: Catalogue) -> None:
    stop = Stop()
    stop.asked = True
    drawer = Drawer(catalogued.planes, PlaneCache(catalogued.shelf), 1)
    with pytest.raises(Interrupted):
        fit(ScaleNetwork(1), [drawer.draw(0)], check=stop.check)
