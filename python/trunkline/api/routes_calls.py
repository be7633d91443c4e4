"""REST for calls: `/rest-api/call/*`, with WCS's paths, fields and statuses.

Owns the translation between bodies and the controller. A call started here has a SIP leg only; a player speaks on its
other side. Errors go up as they are: `problems` answers them.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Response

from trunkline.api.auth import rest_router
from trunkline.api.node import Node
from trunkline.api.openapi import refusals
from trunkline.api.problems import problem
from trunkline.api.schemas import (
    CallIdRequest,
    FindRequest,
    HoldRequest,
    MuteRequest,
    SendDtmfRequest,
    StartupRequest,
    TransferFields,
    dtmf_method,
)
from trunkline.api.schemas_calls import CallObject
from trunkline.calls.controller import TRANSFER_TIMEOUT_S
from trunkline.calls.events import DtmfRequested, FollowRequested, HoldRequested, MuteRequested, ResumeRequested
from trunkline.calls.legs.sip_leg import SipLeg
from trunkline.calls.legs.sip_party import OutboundCall
from trunkline.calls.model import Call, CallEnd, CallRequest, EndReason, LegKind, Side
from trunkline.calls.player_leg import PlayerLeg
from trunkline.calls.routing import dialable, printable, route, transfer_request
from trunkline.calls.trunks.course import Order
from trunkline.errors import CallNotFound, NoRoute, TrunklineError
from trunkline.ids import CallId
from trunkline.sip.types import Account
from trunkline.trunks.identity import Caller, allowed, user_of

PREFIX: Final = "/rest-api/call"


_BAD, _NONE, _TAKEN, _FULL = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.SERVICE_UNAVAILABLE,
)


def call_routes(node: Node) -> APIRouter:
    """Return the routes."""
    router = rest_router(node, PREFIX, "calls")

    @router.post(
        "/startup",
        summary="Start a call",
        responses=refusals(_BAD, _NONE, _TAKEN, HTTPStatus.NOT_IMPLEMENTED, _FULL),
    )
    async def startup(body: StartupRequest) -> Response:
        """Dial a SIP party. 200 means that the call was taken; what becomes of it is seen by `find`."""
        if body.to_stream or body.rtmp_url or body.rtmp_stream:
            return problem(501, "not_supported", "toStream, rtmpUrl and rtmpStream are not supported")
        if missing := node.missing_codecs.intersection(body.codecs or ()):
            names = ", ".join(sorted(missing))
            return problem(400, "bad_request", "a codec is not installed", [f"codecs: {names} is not installed"])
        account = body.account()
        if account is None and not body.trunk and not node.fleet.directory.outbound:
            return problem(400, "bad_request", "a SIP account is needed", ["sipLogin, sipDomain: required"])
        try:
            outbound = _by_trunk(node, body) if account is None or body.trunk else _by_account(node, body, account)
        except NoRoute as error:
            return problem(400, "bad_request", str(error), [f"callee: {error}"])
        request = CallRequest(
            id=CallId(body.call_id),
            caller=body.caller or ("" if account is None else account.login),
            callee=body.callee,
            visible_name=body.visible_name or "",
            app_key=body.app_key or "defaultApp",
            has_video=body.has_video,
        )
        try:
            node.controller.start(request, PlayerLeg, lambda context: SipLeg(context, node.sip, outbound))
        except TrunklineError:
            if outbound.course is not None:
                outbound.course.over()
            raise
        return _done()

    @router.post("/find", summary="Find calls", responses=refusals(_BAD, _NONE))
    async def find(body: FindRequest) -> list[CallObject]:
        """Return the calls that match every field given; 404 if there is none."""
        return _objects(node, (call for call in node.controller.find() if _matches(call, body)))

    @router.get("/find_all", summary="List calls", responses=refusals(_NONE))
    @router.post("/find_all", summary="List calls", responses=refusals(_NONE))
    async def find_all() -> list[CallObject]:
        """Return all live calls; 404 if there is none."""
        return _objects(node, node.controller.registry.live())

    @router.post("/terminate", summary="End a call", responses=refusals(_BAD, _NONE))
    async def terminate(body: CallIdRequest) -> Response:
        """Hang up both sides."""
        node.controller.hang_up(CallId(body.call_id), CallEnd(EndReason.TERMINATED))
        return _done()

    changing = refusals(_BAD, _NONE, _TAKEN, HTTPStatus.BAD_GATEWAY, _FULL, HTTPStatus.GATEWAY_TIMEOUT)

    @router.post("/send_dtmf", summary="Send digits", responses=changing)
    async def send_dtmf(body: SendDtmfRequest) -> Response:
        """Send digits to the SIP party; 409 before any media flows. By INFO it returns when they have been taken."""
        call = node.controller.registry.get(CallId(body.call_id))
        side = Side.B if call.b is not None and call.b.kind is LegKind.SIP else Side.A
        method = dtmf_method(body.type)
        await node.controller.ask(call.id, lambda reply: DtmfRequested(side, body.dtmf, method, reply))
        return _done()

    @router.post("/answer", summary="Take an incoming call", responses=changing)
    async def answer(body: CallIdRequest) -> Response:
        """Answer a call that rings at a browser, in its place: it stops ringing, and a player speaks to the caller."""
        await node.controller.answer(CallId(body.call_id))
        return _done()

    @router.post("/hold", summary="Put the SIP party on hold", responses=changing)
    async def hold(body: HoldRequest) -> Response:
        """Return when the SIP party has agreed: it hears music. Nothing happens if it is on hold already."""
        call = node.controller.registry.get(CallId(body.call_id))
        await node.controller.ask(call.id, lambda reply: HoldRequested(call.client_side, reply, body.hold_for_transfer))
        return _done()

    @router.post("/unhold", summary="Take the SIP party off hold", responses=changing)
    async def unhold(body: CallIdRequest) -> Response:
        """Return when the SIP party has agreed. Nothing happens if it is not on hold."""
        call = node.controller.registry.get(CallId(body.call_id))
        await node.controller.ask(call.id, lambda reply: ResumeRequested(call.client_side, reply))
        return _done()

    @router.post("/transfer", summary="Transfer the SIP party", responses=changing)
    async def transfer(body: TransferFields) -> Response:
        """Have the SIP party call somebody else, and return when it has been answered there; the call then ends.

        With `targetCallId` it takes the place of this node in that call, which ends as well. A SIP party that will not
        do that is joined here to the other one: then this call goes on between the two.
        """
        call = node.controller.registry.get(CallId(body.call_id))
        consulted = None if body.target_call_id is None else CallId(body.target_call_id)
        target = body.target or node.controller.registry.get(CallId(body.target_call_id or "")).request.callee
        await node.controller.ask(
            call.id,
            lambda reply: transfer_request(call.client_side, target, reply, consulted),
            timeout_s=TRANSFER_TIMEOUT_S,
        )
        return _done()

    @router.post("/accept_transfer", summary="Follow a transfer", responses=changing)
    async def accept_transfer(body: CallIdRequest) -> Response:
        """Let the SIP party transfer this call, where `calls.incoming_transfers` is `ask`; returns at once.

        What becomes of it is seen by `find`: the call that takes over names this one as `parentCallId`.
        """
        await node.controller.ask(CallId(body.call_id), lambda reply: FollowRequested(True, reply))
        return _done()

    @router.post("/reject_transfer", summary="Do not follow a transfer", responses=changing)
    async def reject_transfer(body: CallIdRequest) -> Response:
        """Refuse the SIP party's transfer, or give it up while it is under way: the call goes on as it was."""
        await node.controller.ask(CallId(body.call_id), lambda reply: FollowRequested(False, reply))
        return _done()

    @router.post("/mute", summary="Mute one side", responses=changing)
    async def mute(body: MuteRequest) -> Response:
        """Let the other side hear silence. It lasts until `unmute`; the far side is not told."""
        await set_muted(body, is_muted=True)
        return _done()

    @router.post("/unmute", summary="Let a muted side be heard", responses=changing)
    async def unmute(body: MuteRequest) -> Response:
        """Undo `mute`; nothing happens if the side is not muted."""
        await set_muted(body, is_muted=False)
        return _done()

    async def set_muted(body: MuteRequest, *, is_muted: bool) -> None:
        call = node.controller.registry.get(CallId(body.call_id))
        side = body.leg or call.client_side
        await node.controller.ask(call.id, lambda reply: MuteRequested(side, is_muted, reply))

    return router


def _by_account(node: Node, body: StartupRequest, account: Account) -> OutboundCall:
    return route(
        body.callee,
        account,
        body.visible_name or "",
        register_expires_s=node.config.sip.register_expires_s if body.sip_register_required else None,
        codecs=body.codec_terms(),
        headers=allowed(tuple(body.sip_headers.items()), node.sessions.headers.outbound),
    )


def _by_trunk(node: Node, body: StartupRequest) -> OutboundCall:
    """Take a line of the trunk or group named, or of those that carry such numbers."""
    order = Order(
        number=user_of(dialable(body.callee)),
        caller=Caller(number=body.caller or "", display_name=printable(body.visible_name or "")),
        headers=tuple(body.sip_headers.items()),
        codecs=body.codec_terms(),
    )
    return node.fleet.outbound(order, (body.trunk,) if body.trunk else ())


def _done() -> Response:
    """Answer a command. An empty object: WCS clients parse whatever body there is as JSON."""
    return Response("{}", media_type="application/json")


def _matches(call: Call, wanted: FindRequest) -> bool:
    return (
        wanted.call_id in (None, call.id)
        and wanted.callee in (None, call.request.callee)
        and wanted.status in (None, call.status)
        and wanted.rtmp_url is None  # no call feeds one
    )


def _objects(node: Node, calls: Iterable[Call]) -> list[CallObject]:
    found = [CallObject.of(call, node.name, has_quality=True) for call in calls]
    if not found:
        raise CallNotFound("no such call")
    return found
