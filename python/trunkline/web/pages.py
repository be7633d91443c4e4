"""Serves the browser files of this package.

Owns which folders are public, and the headers that go out with each file. Must not know calls or configuration:
`/phone/config.json`, which depends on both, is a route of `api` and has to be added before these mounts.
"""

from os import PathLike, stat_result
from pathlib import Path

from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_ROOT = Path(__file__).parent

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "media-src 'self' blob: mediastream:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'self'",
    )
)
"""Everything comes from our own origin, the WebSocket too; no inline script or style. Says the same as the `meta` in
`phone/index.html`, which holds where somebody else serves the files (a `meta` cannot carry `frame-ancestors`)."""

_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=()",
    # Files carry an ETag: ask each time, so that an upgrade of the gateway never leaves old and new modules mixed.
    "Cache-Control": "no-cache",
}

_MEDIA_TYPES = {".js": "text/javascript", ".svg": "image/svg+xml", ".css": "text/css", ".html": "text/html"}
"""Fixed here since the system's own table may lack or mistype them, and a browser refuses a mistyped module."""


class _BrowserFiles(StaticFiles):
    """Static files with our headers and with media types that do not depend on the machine."""

    def file_response(
        self, full_path: str | PathLike[str], stat_result: stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Serve one file; adds the headers to 200 and 304 alike."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(_HEADERS)
        media_type = _MEDIA_TYPES.get(Path(full_path).suffix)
        if media_type is not None and "content-type" in response.headers:
            response.headers["content-type"] = f"{media_type}; charset=utf-8"
        return response


def mounts() -> list[Mount]:
    """Return the routes of the browser files: `/phone/` (the page) and `/sdk/` (the modules that it imports)."""
    return [
        Mount("/phone", app=_BrowserFiles(directory=_ROOT / "phone", html=True), name="phone"),
        Mount("/sdk", app=_BrowserFiles(directory=_ROOT / "sdk"), name="sdk"),
    ]
