"""Around every request: an id, the time it took, one line of log, and a clean answer when something breaks."""

from __future__ import annotations

import re
import secrets
import time

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightline_cloud.api.errors import respond
from sightline_cloud.logs import log, log_failure
from sightline_shared.errors import ServiceFailed

# What handlers leave in `request.state` for the line of log.
LOGGED = ("tenant", "key", "decision", "stages_ms", "error_code")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestLog:
    """Plain ASGI middleware; what handlers put into `request.state` goes into the log line."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        state = scope.setdefault("state", {})  # what handlers know as `request.state`
        state["request_id"] = given if _ID.fullmatch(given) else secrets.token_hex(8)
        state["arrived"] = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", state["request_id"].encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            log_failure("request_failed", error, request_id=state["request_id"], path=scope["path"])
            if not status:
                failed = ServiceFailed("the service failed on this request.")
                await respond(Request(scope), failed)(scope, receive, send_with_id)
        route = getattr(scope.get("route"), "path", "none")
        scope["app"].state.metrics.requested(scope["method"], route, status, state.get("error_code"))
        log(
            "request",
            request_id=state["request_id"],
            method=scope["method"],
            path=scope["path"],
            status=status,
            ms=round((time.perf_counter() - state["arrived"]) * 1000, 3),
            **{name: state[name] for name in LOGGED if name in state},
        )
