"""The service, declared on one page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import anyio
from fastapi import FastAPI
from starlette.exceptions import HTTPException

from sightline_cloud.api import health, items, search
from sightline_cloud.api.errors import on_http_error, on_sightline_error
from sightline_cloud.api.middleware import RequestLog
from sightline_cloud.engine import Engine
from sightline_cloud.logs import log, log_failure
from sightline_cloud.search import check_thresholds
from sightline_cloud.settings import Settings
from sightline_shared import __version__
from sightline_shared.bundle import Bundle
from sightline_shared.errors import SightlineError


def create_app(settings: Settings, bundle: Bundle | None = None) -> FastAPI:
    """Return the service over `settings.data_dir`; `bundle` overrides the folder in the settings.

    Opens bundle and catalogue and builds the indexes here, so that what is wrong with them is raised before any port
    is opened: BundleError, StoreError, VersionMismatch.
    """
    engine = Engine(settings, bundle)
    check_thresholds(engine.bundle.manifest)
    log("ready", bundle=engine.bundle.label, tenants=engine.indexes.stats(), seq=engine.indexes.seq)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.search_pool = ThreadPoolExecutor(settings.search_threads, thread_name_prefix="search")
        # Changes one after another, apart from the threads that check keys: a slow one holds up no query.
        app.state.change_limiter = anyio.CapacityLimiter(1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow_changes, engine)
            yield
            tasks.cancel_scope.cancel()
        app.state.search_pool.shutdown(cancel_futures=True)
        engine.close()

    app = FastAPI(
        title="Sightline",
        version=__version__,
        summary="Visual search over 64-byte codes.",
        lifespan=lifespan,
        exception_handlers={SightlineError: on_sightline_error, HTTPException: on_http_error},
    )
    app.state.engine = engine
    app.add_middleware(RequestLog)
    app.include_router(search.router, tags=["search"])
    app.include_router(items.router, tags=["catalogue"])
    app.include_router(health.router, tags=["health"])
    return app


async def follow_changes(engine: Engine) -> None:
    """Apply what other processes write into the catalogue ('sightline index add'), until cancelled.

    Whatever goes wrong is tried again: a service that stopped looking would answer from an old index for ever.
    """
    told = ""
    while True:
        await anyio.sleep(engine.settings.poll_seconds)
        try:
            await anyio.to_thread.run_sync(engine.indexes.catch_up)
            told = ""
        except Exception as error:
            if told != str(error):  # once for each trouble, not three times a second
                log_failure("catch_up_failed", error)
            told = str(error)
