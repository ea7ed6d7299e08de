"""The build: every vector goes where a query that is it looks first, whatever the lists hold."""

from pathlib import Path

import faiss
import numpy as np
import pytest
from support.galleries import clustered, codec_of
from support.tiers import TENANT, Shop

from sightline_cloud.index.coders import CODERS
from sightline_cloud.index.main import LISTS, VECTORS, read_space
from sightline_cloud.index.tail import read_index

ROWS = 4000


@pytest.mark.parametrize("coder", CODERS)
def test_every_vector_is_in_the_list_of_its_nearest_centroid(tmp_path: Path, coder: str) -> None:
    codec = codec_of()
    shop = Shop(tmp_path, codec, list_coder=coder)
    shop.feed.add(TENANT, clustered(ROWS))
    shop.open()
    folder = shop.indexes._live[TENANT].index.main.folder
    index = read_index(folder / LISTS)  # which refuses one without a graph over the centroids
    centroids = faiss.downcast_index(faiss.downcast_index(index.quantizer).storage).reconstruct_n(0, index.nlist)
    mean, matrix = read_space(folder, codec.dim)
    placed = (np.fromfile(folder / VECTORS, np.float16).reshape(ROWS, -1).astype(np.float32) - mean) @ matrix.T
    distances = np.linalg.norm(placed[:, None] - centroids[None], axis=2)
    seen = np.full(ROWS, np.inf)
    for number in range(index.nlist):
        if size := index.invlists.list_size(number):
            rows = faiss.rev_swig_ptr(index.invlists.get_ids(number), size)
            seen[rows] = distances[rows, number]
    assert index.nlist > 50
    assert np.allclose(seen, distances.min(axis=1), rtol=1e-4)
