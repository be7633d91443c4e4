"""What is awaited of verbs that have given their command when they return: its outcome, of several at once, or nothing.

Owns no state. Knows neither legs nor media.
"""

from __future__ import annotations

from collections.abc import Awaitable


async def nothing() -> None:
    """Wait for nothing: what was asked for is so already."""


async def all_of(*begun: Awaitable[None]) -> None:
    """Wait for the end of each, whatever becomes of the others; then raise the first error, be it a bug."""
    first: Exception | None = None
    for outcome in begun:
        try:
            await outcome
        except Exception as error:  # not the last word: it is raised when nothing is under way any more
            first = first or error
    if first is not None:
        raise first
