"""`dicomnn train`: released and proven, interruptible, goes on, tells nothing of patients."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dicomnn.cli import _telling
from dicomnn.cli._telling import TerminalTeller
from dicomnn.codec.decode import decode
from dicomnn.codec.encode import encode
from dicomnn.codec.profile import Profile
from dicomnn.codec.sample import SampleFormat
from dicomnn.errors import RunMismatch
from dicomnn.shelf import OWN_MODELS, Shelf, default_shelf
from dicomnn.training import checkpoint
from dicomnn.training.run_folder import RunFolder, read_images
from tests.training import trees
from tests.training.conftest import QUICK, Trained, dicomnn


def test_a_released_model_is_the_newest_of_its_folder_and_codes(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Shelf([trained.models]).newest()
    assert trained.place.name == model.id and model.id in trained.result.stdout
    words = SampleFormat(16, 16, 15, False)
    tile = trees.texture(123)
    payload = bytes(encode(tile[None], words, profile=Profile("lossless"), model=model, effort="fast"))
    np.testing.assert_array_equal(decode(payload, Shelf([trained.models]).get)[0], tile)
    monkeypatch.setenv(OWN_MODELS, str(trained.models))
    assert default_shelf().newest().id == model.id and len(default_shelf().ids()) > 1


def test_a_release_has_weights_manifest_curves_picture_and_card(trained: Trained) -> None:
    assert {path.name for path in trained.place.iterdir()} == {
        "model.bin", "manifest.json", "curves.json", "curves.png", "CARD.md"
    }  # fmt: skip
    assert (trained.place / "curves.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    manifest = json.loads((trained.place / "manifest.json").read_text())
    assert manifest["id"] == trained.place.name and manifest["verification"]["tiles"] > 0
    assert manifest["largest_sums"] and len(manifest["about"]["fingerprint"]) == 64
    counts = manifest["data"]["counts"]
    assert sum(counts[side]["images"] for side in ("train", "validation", "test")) == 24
    assert sum(counts[side]["scanners"] for side in ("train", "validation", "test")) == 6
    curves = json.loads((trained.place / "curves.json").read_text())
    assert curves[0]["step"] == 0 and curves[-1]["step"] == manifest["about"]["steps"] > 0
    assert all(record["score"] > 0 for record in curves)
    card = (trained.place / "CARD.md").read_text()
    for told in ("siemens scanner 0", "| CT |", "Licence and origin", "dicomnn train FOLDER", "--split test"):
        assert told in card


def test_nothing_of_patients_paths_or_sources_leaves_with_the_model(trained: Trained) -> None:
    whole = b"".join(path.read_bytes() for path in sorted(trained.place.iterdir()))
    for secret in (
        b"Secret",
        b"patient-",
        b"source0",
        str(trained.images).encode(),
        str(trained.run).encode(),
    ):
        assert secret not in whole
    known = read_images(trained.run)
    assert known is not None
    file = known[0].sides["train"][0].file
    for digest in (file.patient, file.study, file.series):
        assert digest and digest.encode() not in whole


def test_sources_are_named_when_that_is_asked_for(trained: Trained, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("Public data, CC BY 4.0.")
    more = ("--name-sources", "--licence-note", note, "--test", "source1", "--validation", "source4,source5")
    made = dicomnn(
        "train", trained.images, "--run", tmp_path / "run", "--models", tmp_path / "m", *QUICK, *more
    )
    assert made.exit_code == 0, made.output
    (place,) = (path for path in (tmp_path / "m").iterdir() if path.is_dir())
    card, manifest = (place / "CARD.md").read_text(), json.loads((place / "manifest.json").read_text())
    assert "| source1 | 0 | 0 | 4 |" in card and "CC BY 4.0" in card and "--test source1" in card
    assert manifest["about"]["test"] == ["source1"]


def test_a_finished_run_does_nothing_again_and_more_minutes_go_on(trained: Trained, tmp_path: Path) -> None:
    arguments = ("train", trained.images, "--run", trained.run)
    again = dicomnn(*arguments, "--models", trained.models, *QUICK)
    assert again.exit_code == 0 and "nothing to do" in again.stdout
    before = checkpoint.load(trained.run / "checkpoint.pt")
    assert before is not None
    minutes = before["spent"] / 60 + 0.01
    more = dicomnn(*arguments, "--models", tmp_path, *QUICK, "--minutes", minutes)
    assert more.exit_code == 0 and f"going on at step {before['step']}" in more.stderr
    after = checkpoint.load(trained.run / "checkpoint.pt")
    assert after is not None and after["step"] > before["step"]
    assert after["spent"] >= 60 * minutes and after["drawn"] > before["drawn"]
    (place,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert place.name != trained.place.name


def test_a_run_goes_on_with_the_same_settings_only(trained: Trained, tmp_path: Path) -> None:
    arguments = ("train", trained.images, "--run", trained.run, "--models", tmp_path, *QUICK)
    for change in (("--seed", "2"), ("--test", "source1"), ("--per-series", "1")):
        refused = dicomnn(*arguments, *change)
        assert refused.exit_code == 2 and "other settings" in refused.stderr, refused.output
    with RunFolder(trained.run), pytest.raises(RunMismatch, match="Another process"), RunFolder(trained.run):
        pass


def test_fine_tuning_goes_on_from_a_released_model_and_is_released_only_if_better(
    trained: Trained, tmp_path: Path
) -> None:
    parent = default_shelf().ids()[-1]
    arguments = [
        "train",
        trained.images,
        "--run",
        tmp_path / "run",
        "--models",
        tmp_path / "m",
        *QUICK,
        "--from",
        parent,
    ]
    first = dicomnn(*arguments, "--rate", "0.000001")
    start = checkpoint.read_curves(tmp_path / "run" / "curves.jsonl")[0]
    assert start["parent"] == parent
    better = checkpoint.load(tmp_path / "run" / "checkpoint.pt")["best_step"] > 0
    assert first.exit_code == (0 if better else 1), first.output
    assert better or "not released" in first.stdout
    anyway = dicomnn(*arguments, "--rate", "0.000001", "--anyway")
    assert anyway.exit_code == 0, anyway.output
    model = Shelf([tmp_path / "m"]).newest()
    assert model.about["parent"] == parent
    # Next to nothing was learned at that rate: the child still codes as its parent does.
    apart = np.abs(model.arrays["causal1"].astype(int) - default_shelf().get(parent).arrays["causal1"])
    assert apart.max() <= 1


def test_a_polite_kill_saves_and_so_does_an_interrupt_and_the_same_command_goes_on(
    trained: Trained, tmp_path: Path
) -> None:
    def command(minutes: float) -> list[str]:
        settings = [*QUICK[:1], str(minutes), *QUICK[2:]]
        return [
            "train",
            str(trained.images),
            "--run",
            str(tmp_path / "run"),
            "--models",
            str(tmp_path / "m"),
            *settings,
        ]

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-m", "dicomnn", *command(30)], env=environment,
                               stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if re.match(r"step [1-9]", line):
            break
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 1 and "the same command goes on" in out
    saved = checkpoint.load(tmp_path / "run" / "checkpoint.pt")
    assert saved is not None and saved["step"] > 0 and not (tmp_path / "m").exists()

    class Interrupting(TerminalTeller):
        def progress(self, what: str, done: int, total: int, detail: str = "") -> None:
            if what == "training":
                signal.raise_signal(signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_telling, "TerminalTeller", Interrupting)
        stopped = dicomnn(*command(30))
    assert stopped.exit_code == 1 and "the same command goes on" in stopped.stdout, stopped.output
    later = checkpoint.load(tmp_path / "run" / "checkpoint.pt")
    assert later is not None and saved["step"] < later["step"] and saved["drawn"] < later["drawn"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_one_image_is_enough_and_the_card_says_what_that_is_worth(tmp_path: Path) -> None:
    trees.write(tmp_path / "in" / "only.dcm", trees.texture(3, 40, 30))
    made = dicomnn("train", tmp_path / "in", "--run", tmp_path / "run", "--models", tmp_path / "m", *QUICK)
    assert made.exit_code == 0, made.output
    (place,) = (path for path in (tmp_path / "m").iterdir() if path.is_dir())
    assert "The figures prove nothing" in (place / "CARD.md").read_text()


def test_a_folder_without_images_and_a_damaged_checkpoint_are_errors_with_a_cure(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("nothing")
    empty = dicomnn("train", tmp_path / "in", "--run", tmp_path / "run", *QUICK)
    assert empty.exit_code == 2 and "No image is left" in empty.stderr and "left_out.jsonl" in empty.stderr
    assert "not-an-image" in (tmp_path / "run" / "left_out.jsonl").read_text()
    trees.write(tmp_path / "in" / "a.dcm", trees.texture(3, 40, 30))
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"damaged")
    damaged = dicomnn("train", tmp_path / "in", "--run", tmp_path / "run", *QUICK)
    assert damaged.exit_code == 1 and "checkpoint cannot be read" in damaged.stderr


@pytest.mark.parametrize("wrong", [("--weights", "CT=x"), ("--weights", "ZZ=1"), ("--from", "0" * 32)])
def test_wrong_options_are_usage_errors(trained: Trained, tmp_path: Path, wrong: tuple[str, str]) -> None:
    assert dicomnn("train", trained.images, "--run", tmp_path / "run", *wrong).exit_code == 2
    assert not (tmp_path / "run").exists()
