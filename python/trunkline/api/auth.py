"""Who may use REST: HTTP Basic (RFC 7617), off unless a login is configured, as in WCS.

Owns the check of credentials. Comparison takes the same time for any wrong one.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from hmac import compare_digest

from fastapi import Request

from trunkline.config import HttpConfig
from trunkline.errors import AuthError


def basic_auth(config: HttpConfig) -> Callable[[Request], None]:
    """Return the dependency that lets a request pass, or raises AuthError."""
    if config.rest_login is None or config.rest_password is None:
        return _everybody
    wanted = f"{config.rest_login}:{config.rest_password.get_secret_value()}".encode()

    def check(request: Request) -> None:
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(encoded.strip(), validate=True) if scheme.lower() == "basic" else b""
        except (binascii.Error, ValueError):
            given = b""
        if not compare_digest(given, wanted):
            raise AuthError("login and password are needed")

    return check


def _everybody(_request: Request) -> None:
    pass
