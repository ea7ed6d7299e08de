"""Two results compared: what changed is told from what did not, what never came is kept, what is not alike is refused."""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import pytest

from sightline_bench.commands import compare as command
from sightline_bench.compare import as_text, compare, unlike
from sightline_bench.netsim.percentiles import percentile_estimates
from sightline_bench.results import Run, read, write
from sightline_shared.errors import InputError

TIMES = np.random.default_rng(0).lognormal(1.0, 0.3, 400)


def result(scale: float = 1.0, recall: float = 0.8, **scenario) -> dict:
    run = Run("edge", {"source": "samples", "queries": 400, **scenario})
    figures = {
        "retrieval": {"grocery": {"R@1": {"value": recall, "interval": [recall - 0.02, recall + 0.02], "n": 900}}}
    }
    noise = np.random.default_rng(round(100 * scale)).normal(1, 0.02, len(TIMES))
    return run.result(figures, {"embed ms": (TIMES * scale * noise).tolist()})


def test_what_became_slower_is_told_from_what_did_not() -> None:
    rows = {row.name: row for row in compare(result(), result(1.3, recall=0.7))}
    assert rows["embed ms p50"].interval[0] < 1.3 < rows["embed ms p50"].interval[1]
    assert rows["embed ms p50"].is_clear and rows["embed ms p95"].is_clear
    assert "embed ms p99" not in rows, "400 are too few"
    better = rows["retrieval > grocery > R@1"]
    assert better.change == pytest.approx(-0.1) and better.is_clear
    assert better.interval == pytest.approx((-0.1 - 0.02 * 2**0.5, -0.1 + 0.02 * 2**0.5))
    assert not any(row.is_clear for row in compare(result(), result(1.001)))


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (result(queries=300), "scenario queries: 400 against 300"),
        (result(seed=1), "scenario seed: None against 1"),
        ({**result(), "benchmark": "load"}, "benchmark: edge against load"),
        ({**result(), "machine": {**result()["machine"], "cores": 96}}, "machine cores"),
    ],
)
def test_runs_that_are_not_alike_are_refused_and_what_differs_is_named(other, named) -> None:
    with pytest.raises(InputError, match=named):
        compare(result(), other)


def test_machines_may_be_what_is_compared() -> None:
    other = {**result(), "machine": {**result()["machine"], "cpu": "another"}}
    assert unlike(result(), other, across_machines=False) and not unlike(result(), other, across_machines=True)


def outage(*, dead: bool) -> dict:
    """Return a network that answers 200 queries within 100 ms; dead, it has only the first 125 of them answered."""
    ms = np.linspace(70.0, 90.0, 201)[np.random.default_rng(1).permutation(200)]
    if dead:
        ms[125:] = np.inf
    figures = {"ms": percentile_estimates(ms)}
    return Run("network", {"n": 200}).result(figures, {"code ms": ms.tolist()})


def test_what_never_came_is_the_longest_and_not_left_out() -> None:
    rows = {row.name: row for row in compare(outage(dead=False), outage(dead=True))}
    assert list(rows) == ["code ms p50", "code ms p95", "ms > p50", "ms > p90", "ms > p95"]
    assert rows["code ms p50"].b > 80 and rows["code ms p50"].n == (200, 200), "the 100th of 200, not of 125"
    for name in ("code ms p95", "ms > p90", "ms > p95"):
        assert rows[name].a < 100 and rows[name].b == math.inf and rows[name].change == math.inf
        assert rows[name].is_outage
    assert rows["code ms p95"].is_clear and rows["code ms p95"].interval == (math.inf, math.inf)
    text = as_text(outage(dead=False), outage(dead=True), list(rows.values()))
    assert "| ms > p95 | 88.9 | never | **88.9 -> never** | 200 |" in text
    assert "one of the two never came (3)" in text


def test_an_outage_that_ended_is_the_same_the_other_way_round() -> None:
    rows = {row.name: row for row in compare(outage(dead=True), outage(dead=False))}
    assert rows["code ms p95"].change == 0 and rows["code ms p95"].is_clear
    assert rows["ms > p95"].change == -math.inf and rows["ms > p95"].is_outage
    assert "**never -> 88.9**" in as_text(outage(dead=True), outage(dead=False), list(rows.values()))


def test_two_outages_alike_are_no_change() -> None:
    rows = {row.name: row for row in compare(outage(dead=True), outage(dead=True))}
    assert not any(row.is_clear or row.is_outage for row in rows.values())
    assert rows["code ms p95"].change == 1 and rows["ms > p95"].change == 0


def test_an_estimate_without_an_interval_is_compared_and_one_of_nothing_is_not() -> None:
    def with_estimates(value: float) -> dict:
        open_ended = {"value": value, "interval": [value - 1, math.inf], "n": 200}
        return Run("network", {}).result({"p50": open_ended, "of none": {**open_ended, "value": math.nan, "n": 0}})

    (row,) = compare(with_estimates(75.0), with_estimates(25_000.0))
    assert (row.name, row.change, row.interval, row.is_clear) == ("p50", 24_925, None, False)
    assert "+2.49e+04, no interval" in as_text(with_estimates(75.0), with_estimates(25_000.0), [row])


def test_times_of_zero_do_not_hide_an_outage_nor_break_the_bootstrap() -> None:
    def with_zeros(above: float) -> dict:
        zeros = [0.0] * 60 + [above] * 40
        return Run("edge", {}).result({}, {"first ms": zeros, "mixed ms": [0.0, above] * 50, "last ms": [above] * 100})

    rows = {row.name: row for row in compare(with_zeros(1.0), with_zeros(1.0))}
    assert list(rows) == ["last ms p50"], "of nothing there is no share"
    made = with_zeros(1.0)
    made["samples"]["first ms"] = [None] * 100
    rows = {row.name: row for row in compare(with_zeros(1.0), made)}
    assert rows["first ms p50"].is_outage and rows["first ms p50"].is_clear


def test_the_command_compares_files(tmp_path: Path) -> None:
    write(result(), tmp_path / "a.json")
    write(result(1.3), tmp_path / "b.json")
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    done = command.run(parser.parse_args([str(tmp_path / "a.json"), str(tmp_path / "b.json")]))
    assert "| embed ms p50 |" in command.show(done) and "**1.3" in command.show(done)
    assert {row["name"] for row in done["rows"]} >= {"embed ms p50", "retrieval > grocery > R@1"}


def test_the_commands_rows_are_json_with_null_for_never(tmp_path: Path) -> None:
    write(outage(dead=False), tmp_path / "a.json")
    write(outage(dead=True), tmp_path / "b.json")
    done = command.run(argparse.Namespace(a=tmp_path / "a.json", b=tmp_path / "b.json", across_machines=False))
    (row,) = [row for row in json.loads(json.dumps(done, allow_nan=False))["rows"] if row["name"] == "ms > p95"]
    assert (row["b"], row["change"], row["interval"], row["outage"]) == (None, None, None, True)


@pytest.mark.parametrize(
    "file", sorted((Path(__file__).parents[2] / "benchmarks/results").glob("*.json")), ids=lambda file: file.stem
)
def test_the_results_that_are_kept_can_be_compared(file: Path) -> None:
    if file.stem == "retrieval":  # a summary of several runs
        assert json.loads(file.read_text())["benchmark"] == "retrieval summary"
    else:
        kept = read(file)
        assert not any(row.is_clear for row in compare(kept, kept))
