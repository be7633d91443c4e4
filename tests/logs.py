"""The log of a test, as text and as lines."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from trunkline.observability.logging import configure


@contextmanager
def logged(level: str = "info", format_: str = "json") -> Iterator[io.StringIO]:
    """Take every line of a node called `node1`; afterwards warnings go to standard error."""
    root = logging.getLogger()
    handlers, root_level = root.handlers[:], root.level
    stream = io.StringIO()
    configure(level=level, format_=format_, node="node1", stream=stream)
    try:
        yield stream
    finally:
        restore(handlers, root_level)


def restore(handlers: list[logging.Handler], level: int) -> None:
    """Undo `configure`. handlers, level: the root logger's."""
    configure(level="warning", format_="json", node="", stream=sys.__stderr__)
    root = logging.getLogger()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return what was written as JSON."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]
