"""What the API says of itself at /openapi.json.

Owns the refusals in it, and the application that corrects what FastAPI assumes of every other one: that a body of the
wrong shape is answered 422, and that errors are plain JSON. `problems` answers both.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI

from trunkline.api.problems import MEDIA_TYPE
from trunkline.api.schemas import Problem

_WRONG_SHAPE: Final = "422"
_ASSUMED: Final = ("HTTPValidationError", "ValidationError")
_PROBLEM: Final = {"schema": {"$ref": "#/components/schemas/Problem"}}


def refusals(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Return what the document says of these refusals of a route."""
    return {status.value: {"model": Problem, "description": status.phrase} for status in statuses}


class Api(FastAPI):
    """An application whose document says what is answered."""

    def openapi(self) -> dict[str, Any]:
        """Return the document; made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            for path in document["paths"].values():
                for operation in path.values():
                    _correct(operation["responses"])
            for name in _ASSUMED:
                document["components"]["schemas"].pop(name, None)
            self.openapi_schema = document
        return self.openapi_schema


def _correct(responses: dict[str, Any]) -> None:
    if responses.pop(_WRONG_SHAPE, None) is not None:
        bad = HTTPStatus.BAD_REQUEST
        responses.setdefault(str(bad.value), {"description": bad.phrase, "content": {MEDIA_TYPE: _PROBLEM}})
    for response in responses.values():
        if _PROBLEM in response.get("content", {}).values():
            response["content"] = {MEDIA_TYPE: _PROBLEM}
