"""Errors as HTTP answers: one table from exception to response, as `application/problem+json` (RFC 9457).

Owns the translation and nothing else. Never repeats what the client sent: it may hold a password.
"""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from trunkline.api.schemas import Problem
from trunkline.calls.model import reason_for_status
from trunkline.errors import AuthError, CapacityError, LegRejected, TooManyGuesses, TransactionTimeout, TrunklineError
from trunkline.observability.logging import get_logger

MEDIA_TYPE = "application/problem+json"

_log = get_logger(__name__)


def problem(
    status: int, code: str, detail: str, errors: list[str] | None = None, *, sip_status: int | None = None
) -> Response:
    """Make the answer of an error. sip_status: of the SIP side, if it refused or was silent."""
    body = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        code=code,
        detail=detail,
        sip_status=sip_status,
        q850=reason_for_status(sip_status).value.q850 if sip_status is not None else None,
        errors=errors or [],
    )
    return Response(body.model_dump_json(by_alias=True), status, media_type=MEDIA_TYPE)


def _sip_status(error: TrunklineError) -> int | None:
    match error:
        case LegRejected():
            return error.status
        case TransactionTimeout():
            return error.sip_status
        case _:
            return None


def add_handlers(app: FastAPI) -> None:
    """Answer every error of the routes in the same form."""

    @app.exception_handler(TrunklineError)
    async def on_trunkline_error(_request: Request, error: TrunklineError) -> Response:
        answer = problem(error.http_status, error.code, str(error), sip_status=_sip_status(error))
        if isinstance(error, CapacityError | TooManyGuesses):
            answer.headers["Retry-After"] = str(error.retry_after_s)
        elif isinstance(error, AuthError):
            answer.headers["WWW-Authenticate"] = 'Basic realm="trunkline", charset="UTF-8"'
        return answer

    @app.exception_handler(RequestValidationError)
    async def on_wrong_shape(_request: Request, error: RequestValidationError) -> Response:
        lines = [f"{'.'.join(str(part) for part in item['loc'][1:])}: {item['msg']}" for item in error.errors()]
        return problem(400, "bad_request", "the body does not have the documented shape", lines[:16])

    @app.exception_handler(HTTPException)
    async def on_http_error(_request: Request, error: HTTPException) -> Response:
        answer = problem(error.status_code, "http", str(error.detail))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(Exception)
    async def on_crash(request: Request, error: Exception) -> Response:
        _log.exception("request_crashed", path=request.url.path, error=type(error).__name__)
        return problem(500, TrunklineError.code, "internal error")
