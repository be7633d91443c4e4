"""REST for trunks: `/rest-api/trunk/*`, in the manner of the calls' routes."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Depends, Request

from trunkline.api.auth import basic_auth
from trunkline.api.node import Node
from trunkline.api.schemas_trunks import TrunkObject


def trunk_routes(node: Node) -> APIRouter:
    """Return the routes."""
    check: Callable[[Request], None] = basic_auth(node.config.http)
    router = APIRouter(prefix="/rest-api/trunk", tags=["trunks"], dependencies=[Depends(check)])

    @router.get("/find_all", summary="List trunks")
    @router.post("/find_all", summary="List trunks")
    async def find_all() -> list[TrunkObject]:
        """Return every configured trunk as it is now; an empty list if there is none."""
        return [TrunkObject.of(line, node.fleet.directory.groups) for line in node.fleet]

    return router
