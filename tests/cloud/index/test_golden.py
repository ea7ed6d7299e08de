"""A snapshot of format 1, kept as it was written: every later version of the service opens it, or builds it again.

Written by `python tests/cloud/index/test_golden.py` (once: a golden file is never written anew, a new format gets a new one).
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from sightline_cloud.index.snapshot import FORMAT
from sightline_cloud.index.tenants import TenantIndexes
from sightline_cloud.settings import Settings
from sightline_shared.codec import Codec

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from support.galleries import clustered, codec_of
from support.list_feed import ListFeed

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "v1" / "index"
TENANT, DIM, ROWS = "shop", 32, 1100
COLOURS = ("red", "green", "blue")
SETTINGS = {"ivf_min_vectors": 1000, "list_coder": "rabitq", "filter_keys": ("colour", "available")}


def catalogue(codec: Codec, vectors: np.ndarray) -> ListFeed:
    feed = ListFeed(codec, catalogue_id="golden")
    feed.add(TENANT, vectors, [{"colour": COLOURS[row % 3], "available": row % 10 != 0} for row in range(len(vectors))])
    return feed


@pytest.fixture
def feed() -> ListFeed:
    codec = Codec.from_bytes((GOLDEN / "codec.msgpack").read_bytes())
    return catalogue(codec, np.load(GOLDEN / "vectors.npy").astype(np.float32))


def test_the_kept_snapshot_is_opened_and_answers(feed: ListFeed, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "snapshots", tmp_path / "index"))
    codec = Codec.from_bytes((GOLDEN / "codec.msgpack").read_bytes())
    indexes = TenantIndexes(feed, codec, Settings(**SETTINGS), folder)
    stats = indexes.stats()[TENANT]
    assert FORMAT != 1 or stats["snapshots"] == ["000001"], "a snapshot of this format is opened, not built again"
    assert (stats["kind"], stats["vectors"]) == ("ivf", ROWS) and indexes.verify() == []
    vectors = np.load(GOLDEN / "vectors.npy").astype(np.float32)
    _, found = indexes.search(TENANT, vectors[1:50:2], 1)
    shown = [row + 1 for row in range(1, 50, 2) if row % 10]
    assert [pk for pk in found[:, 0].tolist() if pk in shown] == shown
    indexes.close()


def test_the_kept_files_are_small() -> None:
    assert sum(path.stat().st_size for path in GOLDEN.rglob("*") if path.is_file()) < 300_000


def write() -> None:
    GOLDEN.mkdir(parents=True)
    codec, vectors = codec_of(32, DIM), clustered(ROWS, seed=3, dim=DIM).astype(np.float16)
    (GOLDEN / "codec.msgpack").write_bytes(codec.to_bytes())
    np.save(GOLDEN / "vectors.npy", vectors)
    indexes = TenantIndexes(
        catalogue(codec, vectors.astype(np.float32)), codec, Settings(**SETTINGS), GOLDEN / "snapshots"
    )
    assert indexes.stats()[TENANT]["kind"] == "ivf"
    indexes.close()


if __name__ == "__main__":
    write()
