"""REST for trunks: `/rest-api/trunk/*`, in the manner of the calls' routes."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter

from trunkline.api.auth import rest_router
from trunkline.api.node import Node
from trunkline.api.openapi import refusals
from trunkline.api.schemas_trunks import Reloaded, TrunkObject


def trunk_routes(node: Node) -> APIRouter:
    """Return the routes."""
    router = rest_router(node, "/rest-api/trunk", "trunks")

    @router.get("/find_all", summary="List trunks")
    @router.post("/find_all", summary="List trunks")
    async def find_all() -> list[TrunkObject]:
        """Return every configured trunk as it is now; an empty list if there is none."""
        return [TrunkObject.of(line, node.fleet.directory.groups) for line in node.fleet]

    @router.post(
        "/reload",
        summary="Read the settings of trunks and routing again",
        responses=refusals(HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.NOT_IMPLEMENTED),
    )
    async def reload() -> Reloaded:
        """Put them in force for calls that begin from now on, as SIGHUP does.

        500 with `code: "config"` if they cannot be used: those before stay in force, and `detail` names what is wrong.
        """
        return await node.reload()

    return router
