"""Without matplotlib and SimpleITK everything loads, and only what needs them is left out."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from dicomnn.cli import evaluate, train
from tests.layers.test_purity import run_blocked

EXTRAS = {"matplotlib", "SimpleITK", "PIL"}


def test_training_and_its_commands_load_without_the_extras(checkout: Path) -> None:
    code = """
import importlib, pkgutil, dicomnn.training
names = [m.name for m in pkgutil.walk_packages(dicomnn.training.__path__, "dicomnn.training.")]
assert len(names) > 20, names
for name in [*names, "dicomnn.cli.train", "dicomnn.cli.evaluate"]:
    importlib.import_module(name)
"""
    done = run_blocked(EXTRAS, code, checkout)
    assert done.returncode == 0, done.stderr


def test_a_volume_is_left_out_with_what_to_install_and_the_picture_is_not_drawn(
    checkout: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.nii.gz").write_bytes(b"a volume")
    code = f"""
from pathlib import Path
from dicomnn.training import picture
from dicomnn.training.images import catalogue
found = catalogue.build([Path({str(tmp_path / "in")!r})], Path({str(tmp_path / "lines")!r}))
(left,) = found.left_out
assert left.reason == "no-reader" and "dicomnn[train]" in left.sentence, left
assert picture.draw([], Path({str(tmp_path / "a.png")!r}), "") is False
"""
    done = run_blocked(EXTRAS, code, checkout)
    assert done.returncode == 0, done.stderr


def test_the_help_of_both_commands_loads_no_torch(checkout: Path) -> None:
    code = (
        "import sys\n"
        "from dicomnn.cli import main\n"
        "for name in ('train', 'evaluate'):\n"
        "    try:\n        main([name, '--help'])\n"
        "    except SystemExit as end:\n        assert not end.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_option_that_the_document_names_exists(checkout: Path) -> None:
    text = (checkout / "docs" / "training.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    known = {
        option for command in (train.command, evaluate.command) for p in command.params for option in p.opts
    }
    assert len(named) > 15 and named <= known | {"--help"}, named - known
