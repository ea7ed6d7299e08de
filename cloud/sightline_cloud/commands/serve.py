"""Run the service: one process over one data folder.

The first start makes an API key for the tenant 'default' and prints it once; it is stored hashed and cannot be shown
again. With several --bundle several generations of apps are answered at once, each from the vectors of its own bundle; what
is added is embedded by all. `settings.toml` in the data folder sets everything else, for the service and for the commands on
that folder (cloud/README.md). Operators have a port of their own, on 127.0.0.1 unless `admin_host` says otherwise. Logs are JSON lines on stderr. SIGINT and SIGTERM stop it after what runs is finished.

Examples:
  sightline serve
  sightline serve --data /var/lib/sightline --host 0.0.0.0 --port 8765
  sightline serve --bundle ./shop-3 --bundle ./shop-4
"""

from __future__ import annotations

import argparse
import signal
import sys
from typing import Any

from sightline_cloud.app import create_app
from sightline_cloud.commands.common import add_data_arguments, bundle_dirs, data_dir
from sightline_cloud.embedded import listen_twice, server_of, url_of
from sightline_cloud.logs import configure
from sightline_cloud.settings import Settings
from sightline_cloud.settings_file import read_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser)
    defaults = Settings()
    parser.add_argument("--host", help=f"address to listen on (default {defaults.host})")
    parser.add_argument("--port", type=int, help=f"port, 0 for a free one (default {defaults.port})")
    parser.add_argument(
        "--admin-port", type=int, help="port for operators, on 127.0.0.1 (default the one after --port; 0 a free one)"
    )
    parser.add_argument("--search-threads", type=int, help=f"searches side by side (default {defaults.search_threads})")


def run(args: argparse.Namespace) -> dict[str, Any]:
    settings = read_settings(
        data_dir(args),
        bundle_dirs=bundle_dirs(args) or None,
        host=args.host,
        port=args.port,
        admin_port=args.admin_port,
        search_threads=args.search_threads,
    )
    configure()
    # The port first: whoever starts a second service should hear of it before its indexes are built.
    sockets = listen_twice(settings)
    (host, port), (_, admin_port) = (sock.getsockname()[:2] for sock in sockets)
    app = create_app(settings)
    keys = app.state.engine.keys
    if not keys.list():
        say(f"API key of tenant 'default', shown this once: {keys.add('demo')}")
    for gap in app.state.engine.gaps():
        say(gap)
    url, admin_url = map(url_of, sockets)
    say(f"operators: {admin_url} (for 'sightline index ... --url')")
    say(f"Sightline serves {settings.data_dir} on {url} (docs: {url}/docs)")
    server = server_of(app, admin_port)
    # uvicorn finishes what runs when the signal comes, and raises it again when it is done: then it is no failure any more.
    signal.signal(signal.SIGTERM, lambda *_: setattr(server, "should_exit", True))
    server.run(sockets=sockets)
    return {"stopped": True, "host": host, "port": port, "admin_port": admin_port}


def show(result: dict[str, Any]) -> str:
    return f"stopped; nothing listens on {result['host']}:{result['port']} any more"


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
