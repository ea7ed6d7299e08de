"""The plainest possible FastAPI handler over the same index: what the service is compared with.

One query as msgpack in, the nearest items as msgpack out, searched right in the handler; ids and metadata are in memory. No key,
no deadline, no limits, no log, no filters, no decision, no request id, nothing checked: what a careful service adds is all that
is missing here.

    python -m sightline_bench.load.plain FOLDER BUNDLE     serves a copy of a data folder, and says where on stderr
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgpack
import numpy as np
import uvicorn
from fastapi import FastAPI, Request, Response

from sightline_bench.load.catalogue import TENANT, settings_of
from sightline_cloud.embedded import listen
from sightline_cloud.engine import Engine
from sightline_shared.bundle import open_bundle

ITEMS_AT_ONCE = 10_000


def create_app(folder: Path, bundle_dir: Path) -> FastAPI:
    engine = Engine(settings_of(folder), open_bundle(bundle_dir), owner="the plain handler")
    codec, (index,) = engine.primary.codec, engine.primary.indexes.shards
    with engine.store.feed().snapshot(TENANT, ITEMS_AT_ONCE) as snapshot:
        pks = [pk for rows in snapshot.chunks for pk in rows.pks.tolist()]
    items = {}
    for start in range(0, len(pks), ITEMS_AT_ONCE):
        found = engine.store.hydrate(TENANT, pks[start : start + ITEMS_AT_ONCE])
        items.update({pk: (item.id, item.metadata) for pk, item in found.items()})
    engine.database.close()

    app = FastAPI()

    @app.post("/v1/search")
    async def search(request: Request) -> Response:
        query = msgpack.unpackb(await request.body(), strict_map_key=False)
        vector = codec.decode(np.frombuffer(query[2], np.uint8)[None])
        cosines, pks = index.search(TENANT, vector / np.linalg.norm(vector), query[3])
        found = zip(cosines[0].tolist(), pks[0].tolist(), strict=True)
        return Response(msgpack.packb([[*items[pk], cosine] for cosine, pk in found if pk >= 0]))

    return app


def main() -> None:
    app = create_app(Path(sys.argv[1]), Path(sys.argv[2]))
    sock = listen("127.0.0.1", 0)
    sys.stderr.write(f"the plain handler serves on http://127.0.0.1:{sock.getsockname()[1]}\n")
    sys.stderr.flush()
    # As the service is served: connections are kept, and nothing is logged.
    uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_keep_alive=75)).run([sock])


if __name__ == "__main__":
    main()
