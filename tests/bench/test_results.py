"""Results in one form: written and read, null for what never came; a file that is none is refused in one clear error."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightline_bench.results import MAX_BYTES, MOST_SAMPLES, Run, as_floats, estimates, read, thinned, write
from sightline_shared.errors import InputError


def result(figures: dict[str, Any] | None = None, samples: dict[str, list[float]] | None = None) -> dict[str, Any]:
    return Run("edge", {"queries": 3}).result(figures or {}, samples)


def changed(**parts: Any) -> dict[str, Any]:
    """Return a result some parts of which are something else."""
    return {**result({"R@1": {"value": 0.5, "interval": [0.4, 0.6], "n": 9}}, {"embed ms": [1.0, 2.0]}), **parts}


def strict(path: Path) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found: dict[str, Any] = json.loads(path.read_text(), parse_constant=refuse)
    return found


def test_a_result_comes_back_as_it_was_written(tmp_path: Path) -> None:
    times = np.random.default_rng(0).lognormal(1.0, 0.3, 400).tolist()
    made = result({"retrieval": {"grocery": {"R@1": {"value": 0.8, "interval": [0.78, 0.82], "n": 9}}}}, {"ms": times})
    write(made, tmp_path / "a.json")
    assert read(tmp_path / "a.json") == made == strict(tmp_path / "a.json")
    assert made["machine"]["cores"] and made["samples"]["ms"] == pytest.approx(times, rel=1e-5)
    assert [name for name, _ in estimates(made)] == ["retrieval > grocery > R@1"]


def test_what_never_came_and_what_nobody_knows_is_null(tmp_path: Path) -> None:
    figures = {
        "p95": {"value": math.inf, "interval": [90.0, math.inf], "n": 200},
        "of none": {"value": math.nan, "interval": (math.nan, math.nan), "n": 0},
        "deep": [{"mean": np.float64("inf")}],
    }
    made = result(figures, {"code ms": [75.0, math.inf, 80.0]})
    write(made, tmp_path / "a.json")
    found = strict(tmp_path / "a.json")
    assert found["p95"] == {"value": None, "interval": None, "n": 200}
    assert found["of none"] == {"value": None, "interval": None, "n": 0} and found["deep"] == [{"mean": None}]
    assert found["samples"]["code ms"] == [75.0, None, 80.0]
    assert read(tmp_path / "a.json") == made == found
    assert as_floats(found["samples"]["code ms"]).tolist() == [75.0, math.inf, 80.0]


def test_a_number_that_json_does_not_have_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write(changed(mean=math.inf), tmp_path / "a.json")
    with pytest.raises(ValueError, match="JSON compliant"):
        write(changed(samples={"ms": [math.nan]}), tmp_path / "a.json")
    assert not (tmp_path / "a.json").exists()


def test_results_from_before_with_nan_and_infinity_are_read_as_null(tmp_path: Path) -> None:
    old = changed(share={"value": math.nan, "interval": [math.nan, math.nan], "n": 0}, samples={"ms": [1.0, math.inf]})
    (tmp_path / "a.json").write_text(json.dumps(old))
    found = read(tmp_path / "a.json")
    assert found["share"] == {"value": None, "interval": None, "n": 0} and found["samples"]["ms"] == [1.0, None]


def test_a_result_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        write(changed(), tmp_path / "gone" / "a.json")


def test_of_a_long_series_every_kth_is_kept() -> None:
    assert thinned(list(range(MOST_SAMPLES))) == list(range(MOST_SAMPLES)) and thinned([]) == []
    kept = thinned(list(range(2 * MOST_SAMPLES + 1)))
    assert kept == list(range(0, 2 * MOST_SAMPLES + 1, 3))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "as JSON"),
        ("[1]", "with benchmark, scenario, machine, samples"),
        ('{"benchmark": "edge", "machine": {}}', "with benchmark, scenario, machine, samples"),
        ('{"schema": 9, "benchmark": "edge", "scenario": {}, "machine": {}, "samples": {}}', "schema 1, got 9"),
        ("[" * 200_000, "as JSON"),
        ('{"a": ' * 500 + "1" + "}" * 500, "nested more than 100 deep"),
        ("9" * 5000, "as JSON"),
    ],
    ids=["broken", "list", "parts", "schema", "200,000 deep", "500 deep", "5,000 digits"],
)
def test_a_file_that_is_no_result_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=expected):
        read(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"benchmark": ["edge"]}, r"a text as 'benchmark', got \['edge'\]"),
        ({"command": 7}, "a text as 'command', got 7"),
        ({"scenario": []}, r"an object as 'scenario', got \[\]"),
        ({"machine": []}, "an object as 'machine'"),
        ({"machine": {}}, "a text as 'machine > time', got None"),
        ({"machine": {**result()["machine"], "cores": "two"}}, "a number as 'machine > cores', got 'two'"),
        ({"bundle": "shop"}, "an object as 'bundle', got 'shop'"),
        ({"bundle": {}}, "a text as 'bundle > label', got None"),
        ({"samples": []}, "an object as 'samples'"),
        ({"samples": {"ms": "123"}}, "a list of 2000 at most as 'samples > ms', got '123'"),
        ({"samples": {"ms": [0.0] * 2001}}, "a list of 2000 at most as 'samples > ms'"),
        ({"samples": {"ms": [1.0, "x"]}}, "numbers or null as 'samples > ms', got 'x'"),
        ({"samples": {"ms": [True]}}, "numbers or null as 'samples > ms', got True"),
        ({"samples": {"ms": [10**400]}}, "numbers or null as 'samples > ms', got 1000"),
        ({"far": {"R@1": {"value": "a", "interval": None, "n": 1}}}, "an estimate with value, interval and n as 'far > R@1'"),
        ({"R@1": {"value": 1, "interval": ["a", "b"], "n": 1}}, "an estimate with"),
        ({"R@1": {"value": 1, "interval": [1], "n": 1}}, "an estimate with"),
        ({"R@1": {"value": 1, "interval": [0, 2], "n": -1}}, "an estimate with"),
        ({"R@1": {"value": 1, "interval": [0, 2], "n": None}}, "an estimate with"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "+".join(value),
)  # fmt: skip
def test_a_part_that_is_not_as_a_result_has_it_is_named(tmp_path: Path, parts: dict[str, Any], expected: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps(changed(**parts)))
    with pytest.raises(InputError, match=expected):
        read(tmp_path / "a.json")


def test_a_file_that_is_missing_or_huge_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "none.json")
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(InputError, match="at most"):
        read(tmp_path / "huge.json")
