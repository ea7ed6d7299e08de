"""Two doors into one process: the public port, and one for operators that the public one knows nothing of."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class Doors:
    """Sends what comes in at `admin_port` to `admin`, and everything else to `public`.

    The port is that of the socket, not of the Host header, which a caller may write as it likes.
    """

    def __init__(self, public: ASGIApp, admin: ASGIApp, admin_port: int) -> None:
        self._public, self._admin, self._admin_port = public, admin, admin_port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        server = scope.get("server")
        inside = scope["type"] == "http" and server is not None and server[1] == self._admin_port
        await (self._admin if inside else self._public)(scope, receive, send)
