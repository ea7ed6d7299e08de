"""The page over results: whole, self-contained, and nothing in a result can break out of it."""

import argparse
from pathlib import Path

import numpy as np
import pytest

from sightline_bench.commands import report as command
from sightline_bench.report.agreement import kernel_points, product_points
from sightline_bench.report.latency import MOST_SERIES, largest, plots, reaches_far
from sightline_bench.report.network import samples_by_strategy
from sightline_bench.report.prints import as_html, printed
from sightline_bench.report.sections import MOST_ROWS, section
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


def test_what_a_command_prints_becomes_tables_and_nothing_of_it_becomes_a_tag() -> None:
    text = "### <b>head</b>\n\n**bold** `code`\nnext\n\n| a | b |\n|---|---|\n| <i>1</i> | **2** |\n- one\n- two"
    assert as_html(text).split("\n") == [
        "<h3>&lt;b&gt;head&lt;/b&gt;</h3>",
        "<p><strong>bold</strong> <code>code</code><br>next</p>",
        '<div class="wide"><table><tr><th>a</th><th>b</th></tr>'
        "<tr><td>&lt;i&gt;1&lt;/i&gt;</td><td><strong>2</strong></td></tr></table></div>",
        "<ul><li>one</li><li>two</li></ul>",
    ]


def test_every_kept_result_is_shown_as_its_command_prints_it() -> None:
    for name in ("edge", "load", "load-batches-1m", "pocket", "quality", "retrieval-real-1m", "session", "privacy"):
        shown = printed(read(KEPT / f"{name}.json"))
        assert shown is not None and "<table>" in shown, name


def test_a_result_of_another_version_keeps_its_estimates() -> None:
    result = Run("quality", {}).result({"of another version": {"value": 1.0, "interval": None, "n": 3}})
    shown = section("a", result)
    assert shown.printed is None and [row.name for row in shown.rows] == ["of another version"]
    assert printed(Run("nonsense", {}).result({})) is None


def test_more_estimates_than_anybody_reads_are_counted_only() -> None:
    figures = {str(number): {"value": 1.0, "interval": None, "n": 1} for number in range(MOST_ROWS + 1)}
    shown = section("a", Run("edge", {}).result(figures))
    assert not shown.rows and shown.estimates == MOST_ROWS + 1


def test_what_was_never_answered_is_no_picture_of_zeros() -> None:
    never = [None] * 60 + [5.0] * 60
    result = {**Run("edge", {}).result({}), "samples": {"a ms": never, "b ms": [None] * 120}}
    (picture,) = section("a", result).pictures
    assert picture.url.startswith("data:image/png;base64,")


def test_a_small_sample_has_no_spectrum() -> None:
    few, many = {"a ms": [1.0, 2.0] * 10}, {"a ms": [1.0, 2.0] * 50}
    assert not reaches_far(few) and reaches_far(many)
    assert len(plots(few, "ms")) < len(plots(many, "ms"))


def test_the_network_is_drawn_by_way_to_ask() -> None:
    samples = {f"{network} {way} ms": [1.0] for network in ("lte", "3g, recorded") for way in ("code", "photo 40 KB")}
    found = samples_by_strategy(samples)
    assert [name.partition(",")[0] for name in found] == ["code", "photo 40 KB"]
    assert all([*series] == ["lte", "3g, recorded"] for series in found.values())


def test_the_model_is_drawn_over_what_was_measured_and_refused_networks_are_left_out() -> None:
    kernel = {"lte": {"cells": {"cold 96 B": {"kernel_p50_ms": {"value": 130.0}, "model_to_kernel": 0.97}}}, "5g": {}}
    assert kernel_points(kernel) == {"lte": [(130.0, 0.97, "cold")], "5g": []}
    cell = {"final": {"ms": {"p50": {"value": 70.0}}}, "model_to_real": {"p50": 0.98}}
    never = {"final": {"ms": {"p50": {"value": None}}}, "model_to_real": {}}
    product = {"lte": {"cells": {"warm": {"code": cell, "photo 40 KB": never}}}, "5g": {"refused": True}}
    assert product_points(product) == {"lte": [(70.0, 0.98, "warm")], "5g": []}
