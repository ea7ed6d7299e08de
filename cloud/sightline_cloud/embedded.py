"""The service inside another process, on loopback: for the demo, the tests and the benchmarks. Real HTTP."""

from __future__ import annotations

import socket
import threading
import time
from types import TracebackType

import uvicorn
from fastapi import FastAPI

from sightline_cloud.api.doors import Doors
from sightline_cloud.app import create_app
from sightline_cloud.engine import Engine
from sightline_cloud.patience import Patience, protocol_with
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


def listen_twice(settings: Settings) -> list[socket.socket]:
    """Return the public socket and the operators'; raises PortInUse."""
    public = listen(settings.host, settings.port)
    try:
        return [public, listen(settings.admin_host, settings.admin_door)]
    except PortInUse as error:
        public.close()
        raise PortInUse(error.message, hint="Choose another admin_port in settings.toml, or another --port.") from error


def url_of(sock: socket.socket) -> str:
    """Return where a listening socket answers."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def server_of(app: FastAPI, admin_port: int) -> uvicorn.Server:
    """Return the web server for `app`, configured as 'sightline serve' runs it; operators come in at `admin_port`."""
    settings: Settings = app.state.engine.settings
    config = uvicorn.Config(
        Doors(app, app.state.admin, admin_port),
        http=protocol_with(Patience(settings.header_seconds, settings.body_seconds)),
        ws="none",
        limit_concurrency=settings.max_connections,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=STOP_SECONDS,
        lifespan="on",
    )
    return uvicorn.Server(config)


class EmbeddedService:
    """Starts on `with`, stops at its end; `url` is where it answers, `admin_url` where it answers operators."""

    def __init__(self, settings: Settings, *bundles: Bundle) -> None:
        self._app = create_app(settings, *bundles)
        self._settings = settings
        self.url = self.admin_url = ""

    @property
    def engine(self) -> Engine:
        engine: Engine = self._app.state.engine
        return engine

    def start(self) -> EmbeddedService:
        """Start and return when it answers; raises PortInUse, ServiceFailed."""
        try:
            sockets = listen_twice(self._settings)
        except PortInUse:
            self.engine.close()
            raise
        self.url, self.admin_url = map(url_of, sockets)
        self._server = server_of(self._app, sockets[1].getsockname()[1])
        self._thread = threading.Thread(target=self._server.run, args=(sockets,), name="sightline-service", daemon=True)
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
