"""REST for texts: `/rest-api/message/*`, which is ours.

Owns the translation between bodies and `calls.messages`. Errors go up as they are: `problems` answers them.
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Response

from trunkline.api.auth import rest_router
from trunkline.api.node import Node
from trunkline.api.openapi import refusals
from trunkline.api.problems import problem
from trunkline.api.schemas import SendMessageRequest
from trunkline.calls.messages import within
from trunkline.ids import CallId

PREFIX: Final = "/rest-api/message"

_REFUSALS: Final = refusals(
    *(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
    *(HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT),
)


def message_routes(node: Node) -> APIRouter:
    """Return the routes."""
    router = rest_router(node, PREFIX, "messages")

    @router.post("/send", summary="Send a text", responses=_REFUSALS)
    async def send(body: SendMessageRequest) -> Response:
        """Send a SIP MESSAGE with the account given, and return when the far side or its server has taken it.

        With `callId` it goes to the SIP party of that call, in the call's dialog; 409 before the call is answered.
        """
        if body.call_id is not None:
            call = node.controller.registry.get(CallId(body.call_id))
            await node.controller.ask(call.id, partial(within, call, body.text(), f"rest-{call.id}"))
            return Response("{}", media_type="application/json")
        account = body.account()
        if account is None:
            return problem(400, "bad_request", "a SIP account is needed", ["sipLogin, sipDomain: required"])
        await node.sessions.messages.deliver(account, body.text())
        return Response("{}", media_type="application/json")

    return router
