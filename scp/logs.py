"""Logs of the node: one line per event on standard error, without patient data.

What may be logged: UIDs, AE titles, addresses, counts, sizes, reason codes. Never names, patient ids
or dates of a patient; never a whole data set. Values from the wire lose their control characters, so
nobody can write lines of his own into the log.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import MutableMapping
from typing import Any

import structlog
from pynetdicom import _config as pynetdicom_config

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_LONGEST = 2000
_PATIENT_WORDS = ("patient", "accession", "birth")


def one_line(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Control characters out of every text value (PS3.15 and OWASP: log injection)."""
    for key, value in event.items():
        if isinstance(value, str) and key not in ("exception", "stack"):
            event[key] = "".join(c if c.isprintable() else "?" for c in value[:_LONGEST])
    return event


def no_patient_data(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop keys that would carry identifying values, whoever added them."""
    for key in [k for k in event if any(word in k.lower() for word in _PATIENT_WORDS)]:
        event[key] = "(left out)"
    return event


def configure(level: str = "info", json: bool = False, **bound: Any) -> None:
    """Set up logging of this process; ``bound`` values (worker=2) stand in every line."""
    # pynetdicom logs identifiers and exceptions with values from the wire.
    pynetdicom_config.LOG_HANDLER_LEVEL = "none"
    pynetdicom_config.LOG_REQUEST_IDENTIFIERS = False
    pynetdicom_config.LOG_RESPONSE_IDENTIFIERS = False
    logging.basicConfig(stream=sys.stderr, level=logging.ERROR, format="%(name)s %(message)s", force=True)
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="pydicom")      # they quote the values of data sets
    structlog.contextvars.clear_contextvars()
    constant = dict(bound)

    def add_bound(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {**event, **constant}

    renderer: Any = (structlog.processors.JSONRenderer() if json
                     else structlog.dev.ConsoleRenderer(colors=False))
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            add_bound,
            no_patient_data,
            one_line,
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
