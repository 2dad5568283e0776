"""What README and CONTRIBUTING tell people to type exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from dicomnn.cli import main


def shell_lines(path: Path) -> list[list[str]]:
    """The commands in the document's ``sh`` blocks, split into words, comments left out."""
    blocks = re.findall(r"```sh\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    lines = (line for block in blocks for line in block.splitlines())
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def make_targets(checkout: Path) -> set[str]:
    text = (checkout / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):", text, flags=re.MULTILINE))


def test_every_make_target_of_the_documents_exists(checkout: Path) -> None:
    targets = make_targets(checkout)
    named = set()
    for name in ("README.md", "CONTRIBUTING.md", "docs/dependencies.md"):
        text = (checkout / name).read_text(encoding="utf-8")
        for line in re.findall(r"(?:^ {4}|^|`)make ((?:[a-z-]+ ?)+)", text, flags=re.MULTILINE):
            named |= set(line.split())
    assert {"demo", "test", "peers", "slow"} <= named
    assert named <= targets


def test_every_dicomnn_command_of_the_readme_exists_with_its_options(checkout: Path) -> None:
    context = click.Context(main)
    seen = set()
    for words in shell_lines(checkout / "README.md"):
        if not words[0].endswith("/dicomnn"):
            continue
        command = main.get_command(context, words[1])
        assert command is not None, words
        if isinstance(command, click.Group):           # dicomnn forward list
            command = command.get_command(context, words[2])
            assert command is not None, words
        options = {option for parameter in command.params for option in parameter.opts}
        for word in words[2:]:
            assert not word.startswith("--") or word in options, f"{' '.join(words)}: no option {word}"
        seen.add(words[1])
    assert seen >= {"serve", "status", "report", "compress", "verify", "restore", "info"}


def test_the_commands_that_the_readme_promises_json_of_take_it(checkout: Path) -> None:
    text = (checkout / "README.md").read_text(encoding="utf-8")
    sentence = re.search(r"`--json` on (.+?) prints", text, flags=re.DOTALL)
    assert sentence is not None
    context = click.Context(main)
    for name in re.findall(r"`(\w+)`", sentence.group(1)):
        command = main.get_command(context, name)
        assert command is not None, name
        assert "--json" in {option for parameter in command.params for option in parameter.opts}, name


def test_every_profile_of_the_readme_is_taken_and_no_other_is_promised(checkout: Path) -> None:
    from dicomnn.codec.profile import Profile

    text = (checkout / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z]+)(?::N|:ratio=R)?`", text, flags=re.MULTILINE)
    assert rows == ["keep", "lossless", "bounded", "lossy"]
    written = {"bounded": "bounded:2", "lossy": "lossy:ratio=5"}
    for name in rows:
        assert Profile.parse(written.get(name, name)).kind == name
    for figure in re.findall(r"`lossy:([a-z]+)=[RPS]`", text):
        assert Profile.parse(f"lossy:{figure}=1").figure == figure


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_file_that_a_document_names_exists(name: str, checkout: Path) -> None:
    text = (checkout / name).read_text(encoding="utf-8")
    linked = re.findall(r"\]\(([\w./-]+)\)", text)
    named = re.findall(r"`((?:dicomnn|docs|demo|scp|tests|models|sample_data|codec|dicom|coded|archive|flow"
                       r"|report)/[\w./-]*)`", text)
    missing = [path for path in linked + named
               if not ((checkout / path).exists() or (checkout / "dicomnn" / path).exists())]
    assert not missing, missing
