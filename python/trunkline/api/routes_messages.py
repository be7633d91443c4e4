"""REST for texts: `/rest-api/message/*`, which is ours.

Owns the translation between bodies and `calls.messages`. Errors go up as they are: `problems` answers them.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Depends, Response

from trunkline.api.auth import basic_auth
from trunkline.api.node import Node
from trunkline.api.problems import problem
from trunkline.api.schemas import Problem, SendMessageRequest

PREFIX: Final = "/rest-api/message"

_REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    status.value: {"model": Problem, "description": status.phrase}
    for status in (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT)
}


def message_routes(node: Node) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix=PREFIX, tags=["messages"], dependencies=[Depends(basic_auth(node.config.http))])

    @router.post("/send", summary="Send a text", responses=_REFUSALS)
    async def send(body: SendMessageRequest) -> Response:
        """Send a SIP MESSAGE with the account given, and return when the far side or its server has taken it."""
        account = body.account()
        if account is None:
            return problem(400, "bad_request", "a SIP account is needed", ["sipLogin, sipDomain: required"])
        await node.sessions.messages.deliver(account, body.text())
        return Response("{}", media_type="application/json")

    return router
