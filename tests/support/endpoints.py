"""Every endpoint of the service, as its routes say and not as a list of a test's remembers."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sightline_cloud.app import create_app
from sightline_cloud.settings import Settings
from sightline_shared.bundle import Bundle

Endpoint = tuple[str, str]


def endpoints(bundle: Bundle, folder: Path) -> tuple[set[Endpoint], set[Endpoint]]:
    """Return (method, path) of everything that answers at the public port, and at the operators'."""
    app = create_app(Settings(data_dir=folder, port=0), bundle)
    try:
        return set(_found(app.routes)), set(_found(app.state.admin.routes))
    finally:
        app.state.engine.close()


def _found(routes: Iterable[Any]) -> Iterator[Endpoint]:
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from _found(included.routes)
        else:
            yield from ((method, route.path) for method in route.methods - {"HEAD"})
