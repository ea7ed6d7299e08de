"""The process of one contender: a JSON request a line on stdin, a JSON answer a line on stdout.

Runs under the interpreter in which the contender's library is installed: numpy, the library and this package are all that
is imported. Memory, CPU time and threads of this process are thus the contender's own.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_bench.retrieval.contenders import create
from sightline_bench.retrieval.pages import drop, files_under, resident_share

# Asked before each timed block: the block before was another process's.
WARM_UP = 5
WATCH_SECONDS = 0.1


class Worker:
    """Carries requests out: `do` names a method, the other fields are its arguments."""

    def __init__(self, contender: str, vectors: str, queries: str, folder: str) -> None:
        self._vectors_file, self._folder = Path(vectors), Path(folder)
        self._queries: NDArray[np.float32] = np.load(queries)
        self._contender = create(contender)

    def about(self) -> dict[str, Any]:
        held = self._contender
        return {"version": held.version, "settings": held.settings, "efforts": held.efforts}

    def build(self, threads: int) -> dict[str, Any]:
        """Build into the folder."""
        peak = PeakAnonymous()
        wall, cpu = time.perf_counter(), time.process_time()
        self._contender.build(self._vectors_file, self._folder, threads)  # type: ignore[attr-defined]  # builders only
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return {
            "wall_s": wall,
            "cpu_s": cpu,
            "threads": threads,
            "peak_anonymous_bytes": peak.stop(),
            "peak_resident_bytes": memory()["peak"],
        }

    def open(self) -> dict[str, Any]:
        """Open what was built, and say what memory that took."""
        before, start = memory(), time.perf_counter()
        self._contender.open(self._vectors_file, self._folder)
        self._contender.search(self._queries[:1], 10, self._contender.efforts[0])
        after = memory()
        return {
            "open_s": time.perf_counter() - start,
            "anonymous_bytes": after["anonymous"] - before["anonymous"],
            "file_bytes": after["file"] - before["file"],
            "ssd_bytes": sum(path.stat().st_size for path in self._files()),
        }

    def memory(self) -> dict[str, int]:
        return memory()

    def restrict(self, passing: int | None) -> dict[str, Any]:
        """Answer from the rows whose bucket is below `passing` of 10,000 from now on; null: from all."""
        self._contender.restrict(passing)  # type: ignore[attr-defined]  # asked of contenders that filter only
        return {}

    def ask(self, first: int, count: int, k: int, effort: int) -> dict[str, Any]:
        """Ask queries one by one; returns rows, and wall and CPU microseconds of each."""
        self._search(max(0, first - WARM_UP), first, k, effort)
        return self._search(first, first + count, k, effort)

    def ask_cold(self, first: int, count: int, k: int, effort: int) -> dict[str, Any]:
        """Ask queries one by one, each with none of the contender's files in the page cache."""
        answers, left = [], []
        for number in range(first, first + count):
            drop(self._files())
            left.append(resident_share(self._files()))
            answers.append(self._search(number, number + 1, k, effort))
        merged: dict[str, Any] = {name: [x for each in answers for x in each[name]] for name in answers[0]}
        return merged | {"left_in_cache": max(left)}

    def batch(self, k: int, effort: int, threads: int) -> dict[str, Any]:
        """Ask all queries in one call."""
        self._contender.search(self._queries[:100], k, effort, threads)
        wall, cpu = time.perf_counter(), time.process_time()
        self._contender.search(self._queries, k, effort, threads)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return {"queries": len(self._queries), "wall_s": wall, "cpu_s": cpu}

    def _search(self, first: int, stop: int, k: int, effort: int) -> dict[str, Any]:
        search = self._contender.search
        rows, wall_us, cpu_us = [], [], []
        for number in range(first, stop):
            query = self._queries[number : number + 1]
            # The process's time: what a library's own threads spend counts too.
            cpu, wall = time.process_time_ns(), time.perf_counter_ns()
            found = search(query, k, effort)
            wall_us.append((time.perf_counter_ns() - wall) / 1000)
            cpu_us.append((time.process_time_ns() - cpu) / 1000)
            rows.append(found[0].tolist())
        return {"rows": rows, "wall_us": wall_us, "cpu_us": cpu_us}

    def _files(self) -> list[Path]:
        own = files_under(self._folder)
        return [*own, self._vectors_file] if self._contender.reads_vectors else own


class PeakAnonymous:
    """Watches this process's anonymous memory until it is stopped."""

    def __init__(self) -> None:
        self._done, self._peak = threading.Event(), 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Return the peak in bytes."""
        self._done.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while not self._done.wait(WATCH_SECONDS):
            self._peak = max(self._peak, memory()["anonymous"])


def memory() -> dict[str, int]:
    """Return this process's resident bytes: anonymous ones, those of files, which the kernel may take back, and the peak of both."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    names = ("RssAnon", "RssFile", "RssShmem", "VmHWM")
    anonymous, file, shared, peak = (1024 * int(fields[name].split()[0]) for name in names)
    return {"anonymous": anonymous, "file": file + shared, "peak": peak}


def main() -> None:
    """Serve requests until stdin ends; the arguments of `Worker` are the last of the command line's, as JSON."""
    # Libraries print what they like to stdout: answers go through a copy of it, and stdout to stderr.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker(**json.loads(sys.argv[-1]))
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
