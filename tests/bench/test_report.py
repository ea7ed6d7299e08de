"""The page over results: whole, self-contained, and nothing in a result can break out of it."""

import argparse
from pathlib import Path

import numpy as np
import pytest

from sightline_bench.commands import report as command
from sightline_bench.report.latency import MOST_SERIES, largest
from sightline_bench.report.sections import section
from sightline_bench.results import Run, read, write
from sightline_shared.errors import InputError

KEPT = Path(__file__).parents[2] / "benchmarks/results"


def report(*files: Path, out: Path) -> dict:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([*map(str, files), "--out", str(out)]))


def test_the_page_shows_every_result_and_needs_nothing_else(tmp_path: Path) -> None:
    files = [KEPT / f"{name}.json" for name in ("edge", "load", "retrieval-real-1m", "quality")]
    done = report(*files, out=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert done["results"] == [file.stem for file in files] and all(f"{name}</h2>" in page for name in done["results"])
    # edge: its samples; load and retrieval: their own pictures (their samples have not been kept).
    assert page.count('<img src="data:image/png;base64,') >= 3
    assert 'src="http' not in page and "<link" not in page and "retrieval &gt; grocery" in page


def test_what_a_result_says_is_escaped(tmp_path: Path) -> None:
    figures = {"<script>alert(1)</script>": {"value": 1.0, "interval": None, "n": 3}}
    result = Run("edge", {"source": "<img onerror=x>"}).result(figures, {"<b>embed</b> ms": [1.0, 2.0, 3.0]})
    write(result, tmp_path / "a.json")
    report(tmp_path / "a.json", out=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<script>" not in page and "<img onerror" not in page and "&lt;script&gt;" in page


def test_a_picture_holds_the_slowest_series_and_says_so() -> None:
    samples = {f"stage {number} ms": np.full(200, 1.0 + number).tolist() for number in range(MOST_SERIES + 3)}
    samples["nothing ms"] = [0.0] * 200
    assert next(iter(largest(samples))) == f"stage {MOST_SERIES + 2} ms" and len(largest(samples)) == MOST_SERIES
    (picture,) = section("a", Run("edge", {}).result({}, samples)).pictures
    assert f"{MOST_SERIES} slowest of {MOST_SERIES + 3}" in picture.caption


def test_units_are_not_mixed_in_one_picture() -> None:
    result = Run("edge", {}).result({}, {"embed ms": [1.0] * 30, "search, CPU us": [200.0] * 30, "bytes": [64.0] * 30})
    assert len(section("a", result).pictures) == 2


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names differ"):
        report(KEPT / "edge.json", tmp_path / "edge.json", out=tmp_path / "page.html")
    assert read(KEPT / "edge.json")["schema"] == 1
