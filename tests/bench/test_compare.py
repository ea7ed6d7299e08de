"""Results in one form: written, read, compared; what is not alike is refused and named."""

import json
from pathlib import Path

import numpy as np
import pytest

from sightline_bench.commands import compare as command
from sightline_bench.compare import compare, unlike
from sightline_bench.results import MAX_BYTES, MOST_SAMPLES, Run, estimates, read, thinned, write
from sightline_bench.stats import block_interval, enough_for
from sightline_shared.errors import InputError

TIMES = np.random.default_rng(0).lognormal(1.0, 0.3, 400)


def result(scale: float = 1.0, recall: float = 0.8, **scenario) -> dict:
    run = Run("edge", {"source": "samples", "queries": 400, **scenario})
    figures = {
        "retrieval": {"grocery": {"R@1": {"value": recall, "interval": [recall - 0.02, recall + 0.02], "n": 900}}}
    }
    noise = np.random.default_rng(round(100 * scale)).normal(1, 0.02, len(TIMES))
    return run.result(figures, {"embed ms": (TIMES * scale * noise).tolist()})


def test_a_result_comes_back_as_it_was_written(tmp_path: Path) -> None:
    made = result()
    write(made, tmp_path / "a.json")
    assert read(tmp_path / "a.json") == json.loads(json.dumps(made))
    assert made["machine"]["cores"] and made["samples"]["embed ms"][0] == pytest.approx(TIMES[0], rel=0.2)
    assert [name for name, _ in estimates(made)] == ["retrieval > grocery > R@1"]


def test_of_a_long_series_every_kth_is_kept() -> None:
    assert thinned(list(range(MOST_SAMPLES))) == list(range(MOST_SAMPLES)) and thinned([]) == []
    kept = thinned(list(range(2 * MOST_SAMPLES + 1)))
    assert kept == list(range(0, 2 * MOST_SAMPLES + 1, 3))


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "as JSON"),
        ("[1]", "with benchmark, scenario, machine, samples"),
        ('{"benchmark": "edge", "machine": {}}', "with benchmark, scenario, machine, samples"),
        ('{"schema": 9, "benchmark": "edge", "scenario": {}, "machine": {}, "samples": {}}', "schema 1, got 9"),
    ],
)
def test_a_file_that_is_no_result_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=expected):
        read(tmp_path / "a.json")


def test_a_file_that_is_missing_or_huge_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "none.json")
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(InputError, match="at most"):
        read(tmp_path / "huge.json")


def test_neighbours_that_are_alike_make_the_interval_wider() -> None:
    rng, drift = np.random.default_rng(0), np.zeros(1000)
    for number in range(1, len(drift)):
        drift[number] = 0.9 * drift[number - 1] + rng.normal()
    shuffled = rng.permutation(drift)

    def width(values) -> float:
        low, high = block_interval(values, lambda drawn: float(drawn.mean()))
        return high - low

    assert width(drift) > 2 * width(shuffled)
    assert [enough_for(level, 200) for level in (50, 95, 99)] == [True, True, False]


def test_the_command_compares_files(tmp_path: Path) -> None:
    import argparse

    write(result(), tmp_path / "a.json")
    write(result(1.3), tmp_path / "b.json")
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    done = command.run(parser.parse_args([str(tmp_path / "a.json"), str(tmp_path / "b.json")]))
    assert "| embed ms p50 |" in command.show(done) and "**1.3" in command.show(done)
    assert {row["name"] for row in done["rows"]} >= {"embed ms p50", "retrieval > grocery > R@1"}


@pytest.mark.parametrize(
    "file", sorted((Path(__file__).parents[2] / "benchmarks/results").glob("*.json")), ids=lambda file: file.stem
)
def test_the_results_that_are_kept_can_be_compared(file: Path) -> None:
    if file.stem == "retrieval":  # a summary of several runs
        assert json.loads(file.read_text())["benchmark"] == "retrieval summary"
    else:
        kept = read(file)
        assert not any(row.is_clear for row in compare(kept, kept))
