"""The configuration out of a TOML file and the environment."""

from __future__ import annotations

import difflib
import os
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from dicomnn.errors import ConfigurationError
from scp.config import LISTS, Config
from scp.config_check import check


def load(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """The configuration from a TOML file (or none) and the environment.

    Raises
    ------
    ConfigurationError
        The file cannot be read, or a key or value in it is wrong; the message names it.
    """
    raw: dict[str, Any] = {}
    if path is not None:
        try:
            raw = tomllib.loads(path.read_text("utf-8"))
        except OSError as error:
            raise ConfigurationError(f"cannot be read: {error.strerror}", subject=str(path)) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"is not valid TOML: {error}", subject=str(path)) from error
    try:
        return check(from_mapping(_with_environment(raw, os.environ if environ is None else environ)))
    except ConfigurationError as error:
        if path is not None:
            error.about(str(path))
        raise


def from_mapping(raw: Mapping[str, Any]) -> Config:
    """Typed sections out of nested dictionaries; unknown names get a suggestion."""
    names = [f.name for f in fields(Config)]
    values: dict[str, Any] = {}
    for key, content in raw.items():
        if key not in names:
            raise _unknown(key, names, "section")
        if key in LISTS:
            if not isinstance(content, list):
                raise ConfigurationError(f"[[{key}]] must be a list of tables")
            values[key] = tuple(_section(LISTS[key], item, f"[[{key}]]") for item in content)
        else:
            kind = typing.get_type_hints(Config)[key]
            values[key] = _section(kind, content, f"[{key}]")
    return Config(**values)


def _section(kind: type, content: Any, where: str) -> Any:
    if not isinstance(content, dict):
        raise ConfigurationError(f"{where} must be a table of keys and values")
    hints = typing.get_type_hints(kind)
    values = {}
    for key, value in content.items():
        if key not in hints:
            raise _unknown(key, list(hints), f"key in {where}")
        values[key] = _typed(value, hints[key], f"'{key}' in {where}")
    return kind(**values)


def _typed(value: Any, hint: Any, where: str) -> Any:
    if hint == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ConfigurationError(f"{where} must be a list of texts, not {value!r}")
        return tuple(value)
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if bool in kinds and isinstance(value, bool):
        return value
    if float in kinds and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if int in kinds and isinstance(value, int) and not isinstance(value, bool):
        return value
    if str in kinds and isinstance(value, str):
        return value
    raise ConfigurationError(f"{where} must be of type {kinds[0].__name__}, not {value!r}")


def _unknown(key: str, known: list[str], what: str) -> ConfigurationError:
    near = difflib.get_close_matches(key, known, 1, 0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(sorted(known))}."
    return ConfigurationError(f"unknown {what}: '{key}'; {hint}")


def _with_environment(raw: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    result = {key: dict(value) if isinstance(value, dict) else value for key, value in raw.items()}
    for section in fields(Config):
        if section.name in LISTS:
            continue
        kind = typing.get_type_hints(Config)[section.name]
        hints = typing.get_type_hints(kind)
        for key, hint in hints.items():
            name = f"DICOMNN_{section.name}_{key}".upper()
            if name in environ:
                table = result.setdefault(section.name, {})
                if isinstance(table, dict):
                    table[key] = _from_text(environ[name], hint, name)
    return result


def _from_text(text: str, hint: Any, name: str) -> Any:
    try:
        if hint is bool:
            return ("false", "0", "no", "true", "1", "yes").index(text.lower()) > 2
        return hint(text)
    except (KeyError, ValueError) as error:
        raise ConfigurationError(f"'{text}' is no {hint.__name__}", subject=name) from error
