"""The service inside another process, on loopback: for the demo, the tests and the benchmarks. Real HTTP."""

from __future__ import annotations

import socket
import threading
import time
from types import TracebackType

import uvicorn
from fastapi import FastAPI

from sightline_cloud.app import create_app
from sightline_cloud.engine import Engine
from sightline_cloud.settings import Settings
from sightline_shared.bundle import Bundle
from sightline_shared.errors import PortInUse, ServiceFailed

START_SECONDS = 60
STOP_SECONDS = 10


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 picks a free one. Raises PortInUse."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(2048)
    except OSError as error:
        sock.close()
        raise PortInUse(
            f"expected to listen on {host}:{port}, got '{error.strerror}'.",
            hint="Stop the other process, or choose another --host and --port.",
        ) from error
    return sock


def server_of(app: FastAPI) -> uvicorn.Server:
    """Return the web server for `app`, configured as 'sightline serve' runs it."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=STOP_SECONDS,
        lifespan="on",
    )
    return uvicorn.Server(config)


class EmbeddedService:
    """Starts on `with`, stops at its end; `url` is where it answers."""

    def __init__(self, settings: Settings, *bundles: Bundle) -> None:
        self._app = create_app(settings, *bundles)
        self._settings = settings
        self.url = ""

    @property
    def engine(self) -> Engine:
        engine: Engine = self._app.state.engine
        return engine

    def start(self) -> EmbeddedService:
        """Start and return when it answers; raises PortInUse, ServiceFailed."""
        try:
            sock = listen(self._settings.host, self._settings.port)
        except PortInUse:
            self.engine.close()
            raise
        host, port = sock.getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._server = server_of(self._app)
        self._thread = threading.Thread(target=self._server.run, args=([sock],), name="sightline-service", daemon=True)
        self._thread.start()
        give_up = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > give_up:
                raise ServiceFailed("the embedded service did not start.")
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        """Stop accepting, finish what runs, and return when it is down."""
        self._server.should_exit = True
        self._thread.join(STOP_SECONDS + 5)

    def __enter__(self) -> EmbeddedService:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
