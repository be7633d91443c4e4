"""REST for recordings of calls: `/rest-api/call/record/*`. In the style of WCS, which has none.

Owns the translation between bodies and the controller. Files are not handed out: they are for the node's keeper.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from fastapi import APIRouter

from trunkline.api.auth import rest_router
from trunkline.api.node import Node
from trunkline.api.openapi import refusals
from trunkline.api.schemas import CallIdRequest, RecordRequest
from trunkline.api.schemas_calls import RecordingObject
from trunkline.ids import CallId

PREFIX: Final = "/rest-api/call/record"

_REFUSALS: Final = refusals(
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.NOT_IMPLEMENTED,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)


def recording_routes(node: Node) -> APIRouter:
    """Return the routes."""
    router = rest_router(node, PREFIX, "calls")

    @router.post("/startup", summary="Record a call", responses=_REFUSALS)
    async def startup(body: RecordRequest) -> RecordingObject:
        """Begin to record: what the client's side says on the left channel, what it hears on the right.

        Of a call that REST has started, the SIP party is the one. 409 if the call has no media yet, is being recorded,
        or the file exists; 501 if `recording.directory` is not set. Whoever transfers or replaces the other side leaves
        the recording as it is. It ends with the call at the latest.
        """
        return RecordingObject.of(await node.controller.record(CallId(body.call_id), body.file_name or ""))

    @router.post("/terminate", summary="End a recording", responses=_REFUSALS)
    async def terminate(body: CallIdRequest) -> RecordingObject:
        """Return when the file is whole. 409 if the call is not being recorded."""
        return RecordingObject.of(await node.controller.stop_recording(CallId(body.call_id)))

    return router
