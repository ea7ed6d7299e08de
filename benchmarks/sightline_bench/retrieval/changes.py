"""What changes cost Sightline: from an addition to its being found, the delta's share of a query, a compaction beside queries.

A process of its own: `measure` starts it and reads what it prints. The snapshot that it works on is a copy.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_bench.retrieval.contenders.base import Vectors
from sightline_bench.retrieval.contenders.sightline import Sightline, indexes, set_nprobe
from sightline_bench.retrieval.dataset import Dataset
from sightline_bench.retrieval.feed import TENANT
from sightline_bench.retrieval.measure import K
from sightline_export.evaluate import percentiles
from sightline_shared.errors import ServiceFailed

LOT = 1000
SINGLES = 100
# Of a vector of unit length: about how far two views of one thing are apart.
NOISE = 0.5


@dataclass(frozen=True, eq=False)
class Timed:
    """Queries asked one after another: `wall_us` and the asking thread's `cpu_us` `(n,)`, pks `(n, K)`."""

    wall_us: NDArray[np.float64]
    cpu_us: NDArray[np.float64]
    pks: NDArray[np.int64]

    def figures(self) -> dict[str, Any]:
        return {
            "queries": len(self.wall_us),
            **{f"{name}_ms": percentiles(getattr(self, f"{name}_us") / 1000) for name in ("cpu", "wall")},
        }


class Changes:
    """An index in RAM over a copy of `folder`, whose catalogue can add `extra` rows."""

    def __init__(self, dataset: Dataset, folder: Path, scratch: Path, nprobe: int, extra: int) -> None:
        copied = scratch / "index"
        # Snapshots' files never change: links will do.
        shutil.copytree(folder, copied, copy_function=os.link)
        self._queries, self._nprobe, self._later = dataset.queries(), nprobe, made_up(dataset.vectors(), extra)
        self._indexes, self._feed = indexes(
            dataset.folder / "vectors.npy", copied, Sightline("rabitq").options, later=self._later
        )
        self._ask(0, LOT)

    def run(self, quiet_queries: int) -> dict[str, Any]:
        """Measure everything; returns JSON-able figures."""
        quiet = self._block(quiet_queries)
        findable = self._findable()
        filling = self._fill_delta()
        with_delta = self._block(quiet_queries)
        compaction, during = self._compact()
        after = self._block(quiet_queries)
        return {
            "before": quiet.figures(),
            "findable_ms": percentiles(np.array(findable)),
            "findable_n": len(findable),
            "delta": len(self._later),
            "delta_fill": filling,
            "with_delta": with_delta.figures(),
            "compaction": compaction,
            "during_compaction": during.figures(),
            "during_against_delta_p99": _ratio(during, with_delta),
            "after": after.figures(),
            "during_against_after_p99": _ratio(during, after),
            "same_answers_during": self._same(with_delta, during),
        }

    def _findable(self) -> list[float]:
        """Return the milliseconds from an acknowledged addition to its being found, one item at a time."""
        taken = []
        for number in range(SINGLES):
            query = self._later[number : number + 1].astype(np.float32)
            self._feed.add(1)
            start = time.perf_counter()
            self._indexes.catch_up()
            _, pks = self._indexes.search(TENANT, query, K)
            taken.append((time.perf_counter() - start) * 1000)
            if self._feed.position() not in pks:
                raise ServiceFailed("an item that was added and caught up with was not found by its own vector.")
        return taken

    def _fill_delta(self) -> dict[str, float]:
        wall, cpu, count = time.perf_counter(), time.thread_time(), 0
        while self._feed.position() < len(self._feed):
            self._feed.add(LOT)
            count += self._indexes.catch_up()
        return {
            "items": count,
            "cpu_ms_an_item": (time.thread_time() - cpu) * 1000 / count,
            "wall_ms_an_item": (time.perf_counter() - wall) * 1000 / count,
        }

    def _compact(self) -> tuple[dict[str, Any], Timed]:
        wall, cpu = time.perf_counter(), time.process_time()
        failed: list[BaseException] = []

        def work() -> None:
            try:
                self._indexes.compact(TENANT)
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        asked: list[Timed] = []
        own_cpu = time.thread_time()
        while thread.is_alive():
            asked.append(self._ask(LOT * len(asked), LOT, thread.is_alive))
        thread.join()
        if failed:
            raise failed[0]
        seconds, own_cpu = time.perf_counter() - wall, time.thread_time() - own_cpu
        spent = time.process_time() - cpu - own_cpu
        return {"wall_s": seconds, "cpu_s": spent, "delta_left": self._delta()}, _joined(asked)

    def _block(self, queries: int) -> Timed:
        return _joined([self._ask(first, min(LOT, queries - first)) for first in range(0, queries, LOT)])

    def _ask(self, first: int, count: int, go_on: Callable[[], bool] = lambda: True) -> Timed:
        set_nprobe(self._indexes, self._nprobe)
        wall_us, cpu_us, found = [], [], []
        for number in range(first, first + count):
            if not go_on():
                break
            query = self._queries[number % len(self._queries)][None]
            cpu, wall = time.thread_time_ns(), time.perf_counter_ns()
            _, pks = self._indexes.search(TENANT, query, K)
            wall_us.append((time.perf_counter_ns() - wall) / 1000)
            cpu_us.append((time.thread_time_ns() - cpu) / 1000)
            found.append(pks[0])
        return Timed(np.array(wall_us), np.array(cpu_us), np.array(found, np.int64).reshape(-1, K))

    def _same(self, one: Timed, other: Timed) -> float:
        """Return the share of one's answers that are among the other's, over the queries that both were asked in order."""
        both = min(len(one.pks), len(other.pks))
        pairs = zip(one.pks[:both], other.pks[:both], strict=True)
        return float(np.mean([len(set(a.tolist()) & set(b.tolist())) / K for a, b in pairs]))

    def _delta(self) -> int:
        return int(self._indexes.stats()[TENANT]["delta"])


def made_up(vectors: Vectors, count: int) -> Vectors:
    """Return `(count, d)` neighbours of random rows of `vectors`: additions that lie where the others do."""
    rng = np.random.default_rng(1)
    near = vectors[np.sort(rng.integers(0, len(vectors), count))].astype(np.float32)
    near += rng.standard_normal(near.shape, np.float32) * np.float32(NOISE / np.sqrt(near.shape[1]))
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    return rng.permutation(near).astype(np.float16)


def measure(dataset: Dataset, folder: Path, nprobe: int, extra: int, quiet_queries: int) -> dict[str, Any]:
    """Run the scenario in a process of its own; raises ServiceFailed."""
    arguments = [str(dataset.folder), str(folder), nprobe, extra, quiet_queries]
    command = [sys.executable, "-m", "sightline_bench.retrieval.changes", json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own module
    if done.returncode:
        raise ServiceFailed(f"the process of the changes ended with status {done.returncode}: {done.stderr[-500:]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def main() -> None:
    data, folder, nprobe, extra, quiet_queries = json.loads(sys.argv[1])
    # Beside the index, so that its files can be linked.
    with tempfile.TemporaryDirectory(prefix="changes-", dir=Path(folder).parent) as scratch:
        changes = Changes(Dataset(Path(data)), Path(folder), Path(scratch), nprobe, extra)
        sys.stdout.write(json.dumps(changes.run(quiet_queries)))


def _joined(parts: list[Timed]) -> Timed:
    return Timed(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("wall_us", "cpu_us", "pks")))


def _ratio(one: Timed, other: Timed) -> dict[str, float]:
    return {
        name: float(np.percentile(getattr(one, f"{name}_us"), 99) / np.percentile(getattr(other, f"{name}_us"), 99))
        for name in ("cpu", "wall")
    }


if __name__ == "__main__":
    main()
