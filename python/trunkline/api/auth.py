"""Who may use REST: HTTP Basic (RFC 7617), off unless a login is configured, as in WCS; and who is asking at all.

Owns the check of credentials, the routers that ask for it, and which address a request is said to come from. Comparison
takes the same time for any wrong login or password.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Sequence
from hmac import compare_digest
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Depends, Request
from fastapi.openapi.models import HTTPBase
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from trunkline.api.node import Node
from trunkline.api.openapi import refusals
from trunkline.config.section import Network
from trunkline.errors import AuthError, TooManyGuesses
from trunkline.observability.logging import get_logger
from trunkline.sip.auth.guesses import SOURCE_S

_BY: Final = "rest"

_log = get_logger(__name__)


def rest_router(node: Node, prefix: str, tag: str) -> APIRouter:
    """Return a router for REST, whose routes want its login, if there is one, and say so in the OpenAPI document."""
    config = node.config.http
    if config.rest_login is None or config.rest_password is None:
        return APIRouter(prefix=prefix, tags=[tag])
    guard = _Guard(node, f"{config.rest_login}:{config.rest_password.get_secret_value()}")
    answers = refusals(HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS)
    return APIRouter(prefix=prefix, tags=[tag], dependencies=[Depends(guard)], responses=answers)


class _Guard(SecurityBase):
    """Lets a request pass, or raises AuthError or TooManyGuesses. wanted: login and password, as Basic has them."""

    def __init__(self, node: Node, wanted: str) -> None:
        self.model = HTTPBase(scheme="basic")
        self.scheme_name = "basic"
        self._wanted = wanted.encode()
        self._proxies = node.config.http.trusted_proxies
        self._clock = node.clock
        self._guesses = node.rest_guesses
        self._counter = node.metrics.wrong_passwords

    async def __call__(self, request: Request) -> None:  # on the loop: any other callable would get a thread
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            raise AuthError("login and password are needed")
        now, source = self._clock.now(), source_of(request, self._proxies)
        if not self._guesses.is_heard(now, source, _BY):
            self._counter.labels(_BY, "unheard").inc()
            raise TooManyGuesses("too many wrong passwords, try again later", round(SOURCE_S))
        if compare_digest(_decoded(encoded), self._wanted):
            self._guesses.note_right(source, _BY)
            return
        self._guesses.note_wrong(now, source, _BY)
        self._counter.labels(_BY, "wrong").inc()
        _log.warning("password_wrong", by=_BY, peer=source)
        raise AuthError("login and password are needed")


def _decoded(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""


def source_of(connection: HTTPConnection, proxies: Sequence[Network]) -> str:
    """Return the address that a request or WebSocket comes from: as the nearest proxy of ours has seen it.

    What stands before that in X-Forwarded-For is the client's own word.
    """
    source = connection.client.host if connection.client else ""
    hops = ",".join(connection.headers.getlist("x-forwarded-for")).split(",")
    while hops and _is_in(source, proxies) and (hop := hops.pop().strip()):
        source = hop
    return source


def _is_in(host: str, networks: Sequence[Network]) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in networks)
