"""Messages as a foreign peer would write them, for scripted parties."""

from __future__ import annotations

from itertools import count

from trunkline.sip.headers import HeaderList, parse_uri
from trunkline.sip.message import Message, Request, Response

_serial = count(1)


def request(
    method: str,
    uri: str = "sip:bob@10.0.0.1",
    *,
    host: str = "10.0.0.9",
    call_id: str = "call-1",
    cseq: int = 1,
    from_tag: str = "peer-tag",
    to_tag: str | None = None,
    branch: str | None = None,
    extra: tuple[tuple[str, str], ...] = (),
    body: str = "",
    transport: str = "UDP",
) -> Request:
    """Write a request; a branch is made if none is given."""
    to = f"<{uri}>" + (f";tag={to_tag}" if to_tag else "")
    fields = [
        ("Via", f"SIP/2.0/{transport} {host}:5060;branch=z9hG4bK-{branch or next(_serial)}"),
        ("Max-Forwards", "70"),
        ("From", f"Peer <sip:peer@{host}>;tag={from_tag}"),
        ("To", to),
        ("Call-ID", call_id),
        ("CSeq", f"{cseq} {method}"),
    ]
    if method == "INVITE":
        fields.append(("Contact", f"<sip:peer@{host}>"))
    if body:
        fields.append(("Content-Type", "application/sdp"))
    return Request(method, parse_uri(uri), HeaderList([*fields, *extra]), body.encode())


def reply(
    to: Message,
    status: int,
    *,
    tag: str = "uas-tag",
    contact: str | None = None,
    extra: tuple[tuple[str, str], ...] = (),
    body: str = "",
) -> Response:
    """Write a response to a request."""
    assert isinstance(to, Request)
    response = to.response(status, to_tag=tag)
    if contact is not None:
        response.headers.add("Contact", f"<{contact}>")
    for name, value in extra:
        response.headers.add(name, value)
    return response.with_body("application/sdp", body.encode()) if body else response


def ack(invite: Request, response: Response, *, branch: str | None = None) -> Request:
    """Write the ACK of a 2xx."""
    return request(
        "ACK",
        str(invite.uri),
        host=invite.top_via.host,
        call_id=invite.sip_call_id,
        cseq=invite.cseq.number,
        from_tag=invite.from_.tag or "",
        to_tag=response.to.tag,
        branch=branch,
    )
