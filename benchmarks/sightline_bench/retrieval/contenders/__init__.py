"""Everything that can be measured, by name. Read by the peers' own interpreters: only numpy and the library are imported.

Each contender is used as its documentation recommends; what was chosen stands in its `settings` and in every result.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from sightline_bench.retrieval.contenders.base import Contender


@dataclass(frozen=True)
class Entry:
    """Where a contender's class is, the library it needs and the pip line that installs it.

    `filters`: it can look at some rows only. `on_disk`: a query may read files. `built_by`: the contender whose files it
    opens, "" for its own.
    """

    module: str
    argument: str
    library: str
    pip: str
    about: str
    filters: bool = False
    on_disk: bool = False
    built_by: str = ""


# The bare library on the very lists that Sightline built: what Sightline is compared with, round by round.
LIMIT = "bare"

CONTENDERS = {
    "sightline": Entry("sightline", "rabitq", "faiss", "", "the service's index, RaBitQ lists in RAM", True, True),
    "sightline-ssd": Entry(
        "sightline", "rabitq ssd", "faiss", "", "the same, all lists on the SSD", True, True, "sightline"
    ),
    "sightline-pq64": Entry("sightline", "pq64", "faiss", "", "the service's index, the wire's 64-byte codes", True),
    "sightline-pq32": Entry("sightline", "pq32", "faiss", "", "the service's index, 32-byte codes", True),
    "sightline-fs32": Entry(
        "sightline", "fastscan32", "faiss", "", "the service's index, 32-byte fast-scan codes", True
    ),
    LIMIT: Entry(
        "bare", "", "faiss", "", "faiss alone on Sightline's lists, and its re-rank", False, True, "sightline"
    ),
    "faiss-rabitq": Entry("bare_faiss", "RaBitQ", "faiss", "faiss-cpu", "RR,IVF_HNSW32,RaBitQ and re-rank", True),
    "faiss-pq64": Entry("bare_faiss", "PQ64np", "faiss", "faiss-cpu", "IVF_HNSW32,PQ64np and re-rank", True),
    "faiss-fs64": Entry("bare_faiss", "PQ128x4fs", "faiss", "faiss-cpu", "IVF_HNSW32,PQ128x4fs and re-rank", True),
    "faiss-fs32": Entry("bare_faiss", "PQ64x4fs", "faiss", "faiss-cpu", "32-byte codes: PQ64x4fs and re-rank", True),
    "hnswlib": Entry("hnsw_lib", "", "hnswlib", "hnswlib", "graph over float32 in RAM", True),
    "usearch": Entry("usearch_graph", "", "usearch", "usearch", "graph over bfloat16 in RAM"),
    "scalable-vs": Entry("scalable_vs", "", "svs", "scalable-vs", "Vamana graph over float16 in RAM"),
    "lancedb": Entry("lance", "", "lancedb", "lancedb", "IVF_PQ on disk with refinement", True, True),
    "diskann": Entry("disk_ann", "", "diskannpy", "diskannpy", "Vamana graph on disk, codes in RAM", False, True),
}


def create(name: str) -> Contender:
    """Return the contender `name`; raises ImportError where its library is not installed."""
    entry = CONTENDERS[name]
    module = importlib.import_module(f"sightline_bench.retrieval.contenders.{entry.module}")
    made: Contender = module.create(entry.argument)
    return made
