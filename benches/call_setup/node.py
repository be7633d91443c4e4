"""The gateway that is measured: the whole node, with one trunk that every call comes from and goes to.

Both legs have endpoints of the media plane, and a bridge. Talks JSON lines with `subjects.py`: settings in, `"started"`
out; then a question in and its answer out, any number of times, until its input ends. Questions: `traced` (bytes of
Python objects, after a full collection), `register` (keep so many bindings at the target), `watch` (begin to note how
late the loop is), `lag` (by how much it was since the last time, in seconds).
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import uvloop

from trunkline.app import App, calm_collector
from trunkline.config.loading import load
from trunkline.observability.logging import configure
from trunkline.sip.types import Account, RegistrationId

TICK_S = 0.005


class Gateway:
    """One node, with what the bench asks of it."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._host, self._target_port = settings["target"]
        self.app = App(load(None, settings["config"]))
        self._target = Account(login="bench", password="", domain=self._host, port=self._target_port)
        self._late: list[float] = []
        self._registrations: list[RegistrationId] = []

    async def answer(self, question: dict[str, Any]) -> Any:
        if question["ask"] == "traced":
            gc.collect()
            return tracemalloc.get_traced_memory()[0]
        if question["ask"] == "watch":
            self._watching = asyncio.create_task(self._watch())
            return "watching"
        if question["ask"] == "register":
            await self._register(question["count"], question["a_second"], question["expires_s"])
            return "registering"
        late, self._late = sorted(self._late), []
        return late

    async def _register(self, count: int, a_second: int, expires_s: int) -> None:
        for number in range(count):
            account = Account(login=f"user{number}", password="secret", domain=self._host, port=self._target_port)
            self._registrations.append(self.app.sip.register(account, expires_s))
            if number % 10 == 9:
                await asyncio.sleep(10 / a_second)

    async def _watch(self) -> None:
        """Note by how much the loop is late for an appointment of 5 ms."""
        while True:
            due = time.monotonic() + TICK_S
            await asyncio.sleep(TICK_S)
            self._late.append(time.monotonic() - due)


async def main() -> None:
    settings = await read_line()
    if settings["is_traced"]:
        tracemalloc.start()
    gateway = Gateway(settings)
    await gateway.app.start()
    calm_collector(lambda: not len(gateway.app.controller.registry))
    write_line("started")
    while (question := await read_line()) is not None:
        write_line(await gateway.answer(question))
    os._exit(0)  # calls and bindings that are left do not matter


async def read_line() -> Any:
    line = await asyncio.to_thread(sys.stdin.readline)
    return json.loads(line) if line else None


def write_line(value: Any) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    with Path(os.devnull).open("w") as nowhere:  # lines are made, as in production; who keeps them is another matter
        configure(level="info", format_="json", node="bench", stream=nowhere)
        uvloop.run(main())
