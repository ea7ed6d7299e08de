"""The service, declared on one page."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import anyio
from fastapi import FastAPI
from starlette.exceptions import HTTPException

from sightline_cloud.api import admin, health, items, pocket, search
from sightline_cloud.api.described import Documented
from sightline_cloud.api.errors import on_http_error, on_sightline_error
from sightline_cloud.api.middleware import RequestLog
from sightline_cloud.engine import Engine
from sightline_cloud.logs import log, log_failure
from sightline_cloud.maintain import Housekeeping
from sightline_cloud.monitor.metrics import Metrics
from sightline_cloud.operate.erase import finish_erasures
from sightline_cloud.pressure import INTERVAL_SECONDS, Pressure
from sightline_cloud.search import check_thresholds
from sightline_cloud.settings import Settings
from sightline_shared import __version__
from sightline_shared.bundle import Bundle
from sightline_shared.errors import SightlineError, StoreError

# When keys were last used is stored so often.
KEY_USAGE_SECONDS = 60


def create_app(settings: Settings, *bundles: Bundle) -> FastAPI:
    """Return the service over `settings.data_dir`; `bundles` override the folders in the settings.

    Opens bundles and catalogue and builds the indexes here, so that what is wrong with them is raised before any port
    is opened: BundleError, StoreError, VersionMismatch.
    """
    engine = opened(settings, *bundles)
    housekeeping = Housekeeping(engine)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.search_pool = ThreadPoolExecutor(settings.search_threads, thread_name_prefix="search")
        # Changes one after another, apart from the threads that check keys: a slow one holds up no query.
        app.state.change_limiter = anyio.CapacityLimiter(1)
        app.state.pocket_limiter = anyio.CapacityLimiter(1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch_pressure, engine.pressure)
            tasks.start_soon(again_and_again, "catch_up", settings.poll_seconds, engine.catch_up)
            tasks.start_soon(again_and_again, "key_usage", KEY_USAGE_SECONDS, engine.gate.flush)
            tasks.start_soon(again_and_again, "housekeeping", settings.housekeeping_seconds, housekeeping.round)
            yield
            housekeeping.stop()
            tasks.cancel_scope.cancel()
        app.state.search_pool.shutdown(cancel_futures=True)
        close(engine)

    app = Documented(
        title="Sightline",
        version=__version__,
        summary="Visual search over 64-byte codes.",
        lifespan=lifespan,
        exception_handlers={SightlineError: on_sightline_error, HTTPException: on_http_error},
    )
    app.state.engine, app.state.metrics = engine, Metrics(engine)
    app.state.admin = admin.admin_app(engine, housekeeping, app.state.metrics)
    app.add_middleware(RequestLog)
    app.include_router(search.router, tags=["search"])
    app.include_router(pocket.router, tags=["search"])
    app.include_router(items.router, tags=["catalogue"])
    app.include_router(health.router, tags=["health"])
    return app


def opened(settings: Settings, *bundles: Bundle) -> Engine:
    """Return the engine with its indexes built."""
    engine = Engine(settings, *bundles, owner="the service")
    try:
        log(
            "ranking",
            stages=[stage.name for stage in engine.ranking.stages],
            text_tower=getattr(engine.tower, "name", None),
        )
        for live in engine.generations.values():
            check_thresholds(live.bundle.manifest)
            log("ready", bundle=live.bundle.label, tenants=live.indexes.stats(), seq=live.indexes.seq)
        finish_erasures(engine)
    except BaseException:
        engine.close()
        raise
    return engine


def close(engine: Engine) -> None:
    """Store what is not stored yet, and close everything."""
    try:
        engine.gate.flush()
    except StoreError as error:  # only when keys were last used
        log_failure("key_usage_failed", error)
    engine.close()


async def watch_pressure(pressure: Pressure) -> None:
    """Have the degrade ladder look every 0.1 s; how late this wakes up is one of its signals."""
    while True:
        due = time.perf_counter() + INTERVAL_SECONDS
        await anyio.sleep(INTERVAL_SECONDS)
        pressure.tick(late_ms=(time.perf_counter() - due) * 1000)


async def again_and_again(what: str, seconds: float, work: Callable[[], object]) -> None:
    """Do `work` every so many seconds in a thread, until cancelled; when it runs then, it is waited for.

    "catch_up" applies what other processes write into the catalogue ('sightline index add'). Whatever goes wrong is tried
    again: a service that stopped looking would answer from an old index for ever.
    """
    told = ""
    while True:
        await anyio.sleep(seconds)
        try:
            await anyio.to_thread.run_sync(work)
            told = ""
        except Exception as error:
            if told != str(error):  # once for each trouble, not three times a second
                log_failure(f"{what}_failed", error)
            told = str(error)
