"""Every error of ours has a fixed answer."""

import httpx
import pytest
from fastapi import FastAPI

from logs import lines, logged
from trunkline import errors
from trunkline.api.problems import add_handlers
from trunkline.errors import TrunklineError

ANSWERS = {
    errors.CallNotFound("x"): (404, "call_not_found"),
    errors.CallExists("x"): (409, "call_exists"),
    errors.InvalidCallState("x"): (409, "invalid_call_state"),
    errors.NotConfigured("x"): (501, "not_supported"),
    errors.NoRoute("x"): (404, "no_route"),
    errors.CapacityError("x", 7): (503, "capacity"),
    errors.AuthError("x"): (401, "auth"),
    errors.TooManyGuesses("x", 7): (429, "too_many_guesses"),
    errors.NegotiationError("x"): (422, "negotiation"),
    errors.MediaError("kind", "x"): (500, "media"),
    errors.TransactionTimeout("x"): (504, "transaction_timeout"),
    errors.ConnectFailed("x"): (503, "connect_failed"),
    TrunklineError("x"): (500, "internal"),
    ZeroDivisionError("hush-hush"): (500, "internal"),
}


@pytest.mark.parametrize("error", ANSWERS, ids=lambda error: type(error).__name__)
async def test_an_error_is_answered_with_its_status_and_code(error):
    app = FastAPI()
    add_handlers(app)

    @app.get("/")
    async def fail() -> None:
        raise error

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        answer = await client.get("/")
    assert (answer.status_code, answer.json()["code"]) == ANSWERS[error]
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code
    assert "hush" not in answer.text
    if isinstance(error, errors.CapacityError | errors.TooManyGuesses):
        assert answer.headers["retry-after"] == "7"


async def test_a_bug_in_a_request_leaves_its_traceback_in_the_log():
    app = FastAPI()
    add_handlers(app)

    @app.get("/odd")
    async def divide() -> None:
        raise ZeroDivisionError("hush-hush")

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    with logged() as log:
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            await client.get("/odd")
    (line,) = [line for line in lines(log) if line["event"] == "request_crashed"]
    assert (line["level"], line["path"]) == ("error", "/odd")
    assert "in divide" in line["exception"]
