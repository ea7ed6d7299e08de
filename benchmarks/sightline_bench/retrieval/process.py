"""Contenders' processes: found an interpreter, started, asked, ended."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sightline_bench.retrieval.contenders import CONTENDERS
from sightline_bench.retrieval.dataset import Dataset
from sightline_shared import environment
from sightline_shared.errors import ServiceFailed

ROOT = Path(__file__).resolve().parents[2]
CODE = "import sys; sys.path.insert(0, sys.argv[1]); from sightline_bench.retrieval.child import main; main()"
LAST_WORDS = 2000
# Longer than any honest answer takes on a busy machine: one library waits for itself for ever.
ANSWER_LIMIT_S = 600.0
CLOSING_LIMIT_S = 30.0


class Child:
    """One contender in its own process, from opening to `close`."""

    def __init__(self, contender: str, python: str, dataset: Dataset, folder: Path, threads: int = 1) -> None:
        self.contender = contender
        arguments = {
            "contender": contender,
            "vectors": str(dataset.folder / "vectors.npy"),
            "queries": str(dataset.folder / "queries.npy"),
            "folder": str(folder),
        }
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  closed by close
        self._process = subprocess.Popen(  # noqa: S603  our own module
            [python, "-c", CODE, str(ROOT), json.dumps(arguments)],
            # BLAS would take every core for what is to be one thread's work.
            env=environment.for_child(OPENBLAS_NUM_THREADS=str(threads)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
        )

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, do: str, *, limit_s: float = ANSWER_LIMIT_S, **arguments: Any) -> dict[str, Any]:
        """Have it do one thing; raises ServiceFailed when it fails, dies, or is ended since `limit_s` are over."""
        assert self._process.stdin and self._process.stdout
        late = threading.Event()

        def end() -> None:
            late.set()
            self._process.kill()

        watch = threading.Timer(limit_s, end)
        watch.start()
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            watch.cancel()
        if not line:
            how = f"was ended at '{do}', without an answer after {limit_s:g} s" if late.is_set() else f"ended at '{do}'"
            raise ServiceFailed(f"{self.contender}: its process {how}: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ServiceFailed(f"{self.contender}: '{do}' failed: {answer['error']:.500}")
        return answer

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        with contextlib.suppress(BrokenPipeError):  # it was ended before it had read what it was told
            self._process.stdin.close()
        try:
            self._process.wait(CLOSING_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._said.close()

    def _last_words(self) -> str:
        self._process.wait()
        size = self._said.seek(0, 2)
        self._said.seek(max(0, size - LAST_WORDS))
        return self._said.read().decode(errors="replace").strip()[-500:]


def interpreter(contender: str, pythons: Sequence[str]) -> str | None:
    """Return the first of `pythons` that can import the contender's library; None where none can."""
    module = CONTENDERS[contender].library
    for python in pythons:
        command = [python, "-c", f"import numpy, {module}"]
        try:
            done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603  an interpreter the user named
        except OSError:
            continue
        if done.returncode == 0:
            return python
    return None


def built(
    contender: str, python: str, dataset: Dataset, cache: Path, threads: int, limit_s: float
) -> tuple[Path, dict[str, Any]]:
    """Return the folder of the contender's index over the data set, and what its building cost; built unless it is there.

    Raises ServiceFailed when that fails or takes more than `limit_s`.
    """
    builder = CONTENDERS[contender].built_by or contender
    folder = cache / "built" / dataset.folder.name / builder
    record = folder.with_suffix(".json")
    if not record.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in sorted(folder.rglob("*"), reverse=True):
            leftover.rmdir() if leftover.is_dir() else leftover.unlink()
        with Child(builder, python, dataset, folder, threads) as child:
            about = child.ask("about")
            cost = child.ask("build", limit_s=limit_s, threads=threads)
        record.write_text(json.dumps({"version": about["version"], **cost}) + "\n")
    cost = json.loads(record.read_text())
    return folder, cost


def own_python() -> str:
    return sys.executable
