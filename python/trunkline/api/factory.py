"""Builds the web application: REST, WebSocket and pages on one set of routes.

Owns which path is answered by what, CORS, and the limit of request bodies. Starts nothing.
"""

from __future__ import annotations

import asyncio
from typing import Final

from fastapi import FastAPI, WebSocket
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trunkline import __version__
from trunkline.api.node import Node
from trunkline.api.openapi import Api
from trunkline.api.problems import add_handlers, problem
from trunkline.api.routes_calls import call_routes
from trunkline.api.routes_messages import message_routes
from trunkline.api.routes_node import node_routes
from trunkline.api.routes_recording import recording_routes
from trunkline.api.routes_trunks import trunk_routes
from trunkline.api.ws import BrowserSocket
from trunkline.web.pages import mounts

MAX_BODY_BYTES: Final = 65_536

DESCRIPTION: Final = """
Trunkline carries calls between browsers and SIP. Browsers use the WebSocket at `/` (and `/ws`); this API starts,
finds, answers, holds, mutes, transfers and ends calls. Paths, fields and statuses are those of Web Call Server; `POST`
takes JSON and accepts strings for booleans and numbers. Errors are `application/problem+json`.
"""


def make_api(node: Node) -> FastAPI:
    """Return the application of a node."""
    # No docs pages: they would load scripts from another host. The document itself is at /openapi.json.
    app = Api(title="Trunkline", version=__version__, description=DESCRIPTION, docs_url=None, redoc_url=None)
    add_handlers(app)
    app.include_router(call_routes(node))
    app.include_router(recording_routes(node))
    app.include_router(message_routes(node))
    app.include_router(trunk_routes(node))
    app.include_router(node_routes(node))
    app.router.routes.extend(mounts())

    @app.websocket("/")
    @app.websocket("/ws")
    async def browser(socket: WebSocket) -> None:
        if len(node.sockets) >= node.config.http.max_sockets:
            await BrowserSocket(socket, node).refuse()
            return
        task = asyncio.current_task()
        assert task is not None
        node.sockets.add(task)
        try:
            await BrowserSocket(socket, node).serve()
        finally:
            node.sockets.discard(task)

    app.add_middleware(BodyLimit)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=node.config.http.allowed_origins,
        allow_methods=("GET", "POST"),
        allow_headers=("content-type", "x-requested-with", "authorization"),
    )
    return app


class BodyLimit:
    """Answers 413 to a request body above the limit, without reading it all. Sockets pass."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count bytes on their way in."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
            await problem(413, "too_large", f"at most {MAX_BODY_BYTES} bytes")(scope, receive, send)
            return
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > MAX_BODY_BYTES:  # sent in chunks, without a length: treat it as an aborted request
                return {"type": "http.disconnect"}
            return message

        await self._app(scope, counted, send)
