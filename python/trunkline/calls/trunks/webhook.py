"""SHELL: the question to an application where an inbound call goes, by HTTP.

Owns the request, its signature, its time limit and the reading of the answer. One question a call, never repeated and
never redirected: an answer that is late, malformed or not 200 is none.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Annotated, Final, Self

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trunkline.calls.ports import Clock
from trunkline.observability.logging import get_logger
from trunkline.trunks.model import Destination, Refusal, ToTrunks, ToUser, Webhook

SIGNATURE: Final = "Trunkline-Signature"
MAX_ANSWER_BYTES: Final = 65_536
MAX_QUESTIONS: Final = 2_000
"""That may be under way; a further one has no answer."""

_log = get_logger(__name__)

Answered = Callable[[Destination | None], None]
Cancel = Callable[[], None]


class WebhookAnswer(BaseModel):
    """Where the application sends a call: one of the first five, and the number to call there."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    user: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    trunk: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    trunks: Annotated[tuple[str, ...], Field(max_length=32)] = ()
    outbound: bool = False
    reject: Annotated[int, Field(ge=400, le=699)] | None = None
    callee: Annotated[str, Field(min_length=1, max_length=256)] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        ways = (self.user, self.trunk, self.trunks or None, self.outbound or None, self.reject)
        if sum(each is not None for each in ways) != 1:
            msg = "give one of user, trunk, trunks, outbound and reject"
            raise ValueError(msg)
        return self

    @property
    def destination(self) -> Destination:
        """Return it as routing has it."""
        if self.user is not None:
            return Destination(ToUser(self.user), self.callee)
        if self.reject is not None:
            return Destination(Refusal(self.reject))
        names = self.trunks if self.trunk is None else (self.trunk,)
        return Destination(ToTrunks(names), self.callee)


class Webhooks:
    """Asks applications. Use as an async context manager: leaving it ends every question."""

    def __init__(self, clock: Clock, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._clock = clock
        self._transport = transport
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        """Take questions from now on."""
        # Settings of the environment (proxies) are not for us: calls would wait for them.
        self._client = httpx.AsyncClient(transport=self._transport, follow_redirects=False, trust_env=False)
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what is under way."""
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(kind, error, trace)
        if self._client is not None:
            await self._client.aclose()

    def ask(self, webhook: Webhook, question: Mapping[str, object], on_answer: Answered) -> Cancel:
        """Ask, and call back with the answer, None if there is none. Returns what ends the question unanswered."""
        if self._client is None or len(self._tasks) >= MAX_QUESTIONS:
            on_answer(None)
            return lambda: None
        task = self._group.create_task(self._ask(self._client, webhook, question, on_answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

        def cancel() -> None:
            task.cancel()

        return cancel

    async def _ask(
        self, client: httpx.AsyncClient, webhook: Webhook, question: Mapping[str, object], on_answer: Answered
    ) -> None:
        destination = None
        try:
            async with asyncio.timeout(webhook.timeout_s):
                destination = await self._answer(client, webhook, question)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
            # A ValidationError is a ValueError too, and so is JSON that is none.
            detail = "not a destination" if isinstance(error, ValidationError) else str(error) or "no answer in time"
            _log.warning("webhook_failed", url=webhook.url, kind=type(error).__name__, error=detail)
        on_answer(destination)

    async def _answer(self, client: httpx.AsyncClient, webhook: Webhook, question: Mapping[str, object]) -> Destination:
        body = json.dumps(question, ensure_ascii=False, separators=(",", ":")).encode()
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if webhook.secret is not None:
            headers[SIGNATURE] = signature(webhook.secret, int(self._clock.now()), body)
        async with client.stream(
            "POST", webhook.url, content=body, headers=headers, timeout=webhook.timeout_s
        ) as response:
            if response.status_code != 200:
                raise ValueError(f"HTTP status {response.status_code}")
            answer = bytearray()
            async for piece in response.aiter_bytes():
                answer += piece
                if len(answer) > MAX_ANSWER_BYTES:
                    raise ValueError("the answer is too long")
        return WebhookAnswer.model_validate_json(bytes(answer)).destination


def signature(secret: bytes, unix_s: int, body: bytes) -> str:
    """Return the value of `Trunkline-Signature`: the receiver computes it anew and refuses old times."""
    seal = hmac.new(secret, f"{unix_s}.".encode() + body, "sha256").hexdigest()
    return f"t={unix_s},v1={seal}"
