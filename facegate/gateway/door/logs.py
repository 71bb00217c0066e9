"""Everything that the process says about its work, as JSON lines."""

from __future__ import annotations

import logging
import re
import traceback
from typing import TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

_LEADING_WORDS = re.compile(r"[A-Za-z ]*")

_SHARED = (structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"))


def log_as_json(stream: TextIO) -> None:
    """Of this process, libraries' loggers included: of these only warnings and worse."""
    renderer = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*_SHARED, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _without_values, renderer],
            foreign_pre_chain=[*_SHARED, structlog.stdlib.add_logger_name],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


MOST_CHARACTERS = 300
"""Of a library's message, which may repeat what it was given."""


def _without_values(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Where a library's error happened and of what kind it is; its own text may hold what a caller sent."""
    event["event"] = str(event["event"])[:MOST_CHARACTERS]
    if event.get("logger") == "asyncio":  # goes on with the error itself, or a callback with its arguments
        event["event"] = _LEADING_WORDS.match(event["event"])[0].strip()  # type: ignore[index]
    raised = event.pop("exc_info", None)
    if isinstance(raised, tuple) and raised[0] is not None:
        event["error"] = raised[0].__name__
        event["traceback"] = "".join(traceback.format_tb(raised[2]))
    return event
