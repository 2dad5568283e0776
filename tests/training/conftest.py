"""A small hospital of five scanners, catalogued once; a model trained on it for seconds, once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from dicomnn.cli import main
from dicomnn.training.images import catalogue
from dicomnn.training.images.catalogue import Catalogue
from tests.training import trees

QUICK = (
    "--minutes",
    "0.02",
    "--start-pool",
    "12",
    "--checks",
    "8",
    "--every",
    "4",
    "--batch",
    "4",
)


def dicomnn(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """As a run has it: on two busy cores a second thread of torch only waits for the first."""
    torch.set_num_threads(1)


@dataclass(frozen=True)
class Trained:
    """What `dicomnn train` left behind."""

    images: Path
    run: Path
    models: Path
    result: Result

    @property
    def place(self) -> Path:
        (found,) = (path for path in self.models.iterdir() if path.is_dir())
        return found


@pytest.fixture(scope="session")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five scanners (two in three CT, the others MR), two patients each."""
    return trees.scanners(tmp_path_factory.mktemp("hospital") / "images", 6)


@pytest.fixture(scope="session")
def catalogued(hospital: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return catalogue.build([hospital], tmp_path_factory.mktemp("lines") / "catalogue.jsonl")


@pytest.fixture(scope="session")
def trained(hospital: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    root = tmp_path_factory.mktemp("trained")
    result = dicomnn("train", hospital, "--run", root / "run", "--models", root / "models", *QUICK)
    assert result.exit_code == 0, result.output
    return Trained(hospital, root / "run", root / "models", result)
