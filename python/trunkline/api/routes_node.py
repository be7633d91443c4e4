"""Routes about the node itself: health, metrics, and what the Phone page needs to start."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from starlette.responses import RedirectResponse

from trunkline import __version__
from trunkline.api.node import Node
from trunkline.api.schemas import Health, PhoneConfig
from trunkline.observability.metrics import CONTENT_TYPE


def node_routes(node: Node) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["node"])

    @router.get("/", include_in_schema=False)
    async def root() -> Response:
        """Lead people to the Phone page."""
        return RedirectResponse("/phone/")

    stopping: dict[int | str, dict[str, Any]] = {503: {"model": Health, "description": "The node takes no new calls."}}

    @router.get("/health", summary="What the node holds", responses=stopping)
    async def health(response: Response) -> Health:
        """Return counts of everything that a call or a browser takes and must give back. 503 while it is stopping."""
        held = node.health()
        if held.status == "stopping":
            response.status_code = 503
        return held

    @router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
    async def metrics() -> Response:
        """Return all counters in the text format of Prometheus."""
        return Response(node.metrics.render(), media_type=CONTENT_TYPE)

    @router.get("/phone/config.json", summary="Settings of the Phone page")
    async def phone_config() -> PhoneConfig:
        """Return the demo account, if the built-in test phone runs."""
        return PhoneConfig(demo=node.demo(), version=__version__)

    return router
