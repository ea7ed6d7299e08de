"""The READMEs' tables are what benchmarks/results says; blocks, cells and the lines below the tables."""

import argparse
from pathlib import Path

import pytest

from sightline_bench.commands import tables as command
from sightline_bench.results import Run, command_line, write
from sightline_bench.tables import agreement, aims, cells, load, network
from sightline_bench.tables.blocks import filled, named
from sightline_bench.tables.catalogue import TABLES, written
from sightline_bench.tables.shelf import Shelf
from sightline_shared.errors import InputError

ROOT = Path(__file__).parents[2]
SMALL = "# A\n\n<!-- table: network-sizes -->\n| old |\n<!-- end -->\nafter\n"


def run(*words: str) -> dict:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([*words]))


def estimate(value: float | None, low: float = 0.0, high: float = 1.0, n: int = 100) -> dict:
    return {"value": value, "interval": None if value is None else [low, high], "n": n}


def sizes_result(late_ms: float = 90.0) -> dict:
    cells_of = {
        "64 B": {"ms": {"p50": estimate(70.4), "p95": estimate(80.0)}},
        "512 B": {"ms": {"p50": estimate(71.0), "p95": estimate(late_ms)}},
    }
    run_ = Run("network sizes", {"n": 100, "seed": 0})
    return run_.result(
        {"titles": {"lte": "LTE"}, "networks": {"lte": {"warm": cells_of}, "lte, recorded": {"warm": {}}}}
    )


def shelf_with(folder: Path, **results: dict) -> Shelf:
    for name, result in results.items():
        write(result, folder / f"{name.replace('_', '-')}.json")
    return Shelf(folder)


def test_the_readmes_are_what_the_results_say(monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    found = run("--check")
    assert found["ok"], command.show(found)
    assert found["blocks"] >= 30


def test_every_table_stands_in_a_readme() -> None:
    shown = [name for file in command.FILES for name in named((ROOT / file).read_text(), file)]
    assert sorted(shown) == sorted(TABLES)


def test_check_names_the_block_and_the_file_and_writes_nothing(tmp_path: Path) -> None:
    shelf_with(tmp_path, network_sizes=sizes_result())
    readme = tmp_path / "README.md"
    readme.write_text(SMALL)
    found = run(str(readme), "--results", str(tmp_path), "--check")
    assert not found["ok"] and found["changed"] == [{"file": str(readme), "block": "network-sizes"}]
    assert f"{readme}: network-sizes is not what the results say" in command.show(found)
    assert readme.read_text() == SMALL


def test_a_written_block_holds_until_its_result_changes(tmp_path: Path) -> None:
    shelf_with(tmp_path, network_sizes=sizes_result())
    readme = tmp_path / "README.md"
    readme.write_text(SMALL)
    words = (str(readme), "--results", str(tmp_path))
    assert run(*words)["ok"] and run(*words, "--check")["ok"]
    text = readme.read_text()
    assert text.startswith("# A\n\n<!-- table: network-sizes -->\n") and text.endswith("\n<!-- end -->\nafter\n")
    assert "| LTE | 70 / 80 | 1 / 10 |" in text and "recorded" not in text
    shelf_with(tmp_path, network_sizes=sizes_result(late_ms=92.0))
    assert not run(*words, "--check")["ok"]


def test_below_a_table_stand_file_data_command_date_and_revision(tmp_path: Path) -> None:
    result = Run("edge", {"source": "photographs, every 1. query", "queries": 400}).result({})
    result["machine"].update(time="2026-11-26T20:00:00+00:00", git="abc1234")
    shelf = shelf_with(tmp_path, edge={**result, "command": "sightline bench edge --queries 400"})
    assert shelf.source("edge", about="More.") == (
        "*`results/edge.json`: photographs, queries 400; `sightline bench edge --queries 400`; 2026-11-26; git abc1234. More.*"
    )


def test_the_command_is_noted_without_where_the_result_goes() -> None:
    words = ["bench", "edge", "--out", "a b.json", "--queries", "40", "--out=c", "--json", "--packs", "my packs"]
    assert command_line(words) == "sightline bench edge --queries 40 --packs 'my packs'"


@pytest.mark.parametrize(
    "text",
    [
        "<!-- table: network-sizes -->\nno end\n",
        "<!-- end -->\n",
        "<!-- table: a -->\n<!-- table: b -->\n<!-- end -->\n",
        "<!-- table: a -->\n<!-- end -->\n<!-- table: a -->\n<!-- end -->\n",
        "<!-- table: Not A Name -->\n<!-- end -->\n",
    ],
)
def test_marks_that_do_not_fit_together_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected blocks of a line"):
        named(text, "README.md")


def test_only_what_stands_between_marks_is_replaced() -> None:
    text = "a `<!-- table: x -->` b\n<!-- table: x -->\n1\n2\n<!-- end -->\nc\n<!-- table: y -->\n<!-- end -->\n"
    assert named(text, "f") == {"x": "1\n2\n", "y": ""}
    assert filled(text, str.upper) == text.replace("1\n2\n", "X\n").replace("y -->\n", "y -->\nY\n")


def test_a_table_that_is_none_and_a_result_of_another_form_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected one of"):
        written(Shelf(tmp_path), "nonsense")
    with pytest.raises(InputError, match=r"network-sizes\.json"):
        written(Shelf(tmp_path), "network-sizes")
    shelf = shelf_with(tmp_path, network_sizes=Run("network sizes", {}).result({}))
    with pytest.raises(InputError, match="table network-sizes: expected a result with 'networks'"):
        written(shelf, "network-sizes")


def test_figures_are_written_with_their_intervals_and_nothing_is_invented() -> None:
    assert cells.percent(estimate(0.78229, 0.765, 0.798)) == "78.2 [76.5, 79.8]"
    assert cells.percent(estimate(-0.0004, -0.003, 0.0001)) == "0.0 [-0.3, 0.0]"
    assert cells.percent(estimate(float("nan"), n=0)) == "-" and cells.share(estimate(0.0, n=0)) == "-"
    assert cells.plain({"value": 1.0, "interval": None, "n": 3}, 2) == "1.00"
    assert cells.levels({"p50": 7.4, "p95": estimate(None)}) == "7 / never"
    assert cells.levels({"p50": 7.44}, digits=1) == "7.4 / too few"
    assert cells.table(["a"], [["b | c\n# d"]]).endswith("| b \\| c # d |")
    assert cells.table(["a", "b"], [[1], [2, 3]]) == "| a | b |\n|---|---|\n| 1 |  |\n| 2 | 3 |"


def test_a_later_answer_that_never_comes_is_no_number() -> None:
    never = {"p50": estimate(None), "p95": estimate(None)}
    some = {"p50": estimate(10.0), "p95": estimate(20.0)}
    assert network._later(never, some) == "never / never" and network._later(some, never) == "never / never"
    assert network._later(some, {"p50": estimate(4.0)}) == "6 / too few"
    assert network._within(None) == "**no**" and network._within(200.0) == "yes" and network._within(200.1) == "**no**"


def kernel_result(**cells_of: dict[str, float] | None) -> dict:
    found = {
        name: {"late_p99_ms": 2.5, "refused": True}
        if ratios is None
        else {"refused": False, "cells": {label: {"model_to_kernel": ratio} for label, ratio in ratios.items()}}
        for name, ratios in cells_of.items()
    }
    return Run("network kernel", {"n": 15}).result({"agreement": found})


def test_the_kernels_table_shows_the_misses_and_the_refused(tmp_path: Path) -> None:
    steady = kernel_result(slow4g={"cold 96 B": 0.99, "warm 96 B": 1.04})
    jitter = kernel_result(lte={"cold 96 B": 1.2, "warm 96 B": 0.93}, wifi=None)
    text = agreement.kernel(shelf_with(tmp_path, network_kernel=steady, network_kernel_jitter=jitter))
    assert "| lte | cold | **1.200** |" in text and "| lte | warm | 0.930 |" in text
    assert "| wifi | refused: 2.5 ms late at p99 |" in text
    assert "of 2 cells 1 within 3 %, 2 within 5 %, 2 within 10 %" in text and "the worst 20.0 %" in text
    mixed = kernel_result(slow4g={"cold 96 B": 0.99, "resumed 96 B": 1.0, "resumed 2048 B": 1.3})
    text = agreement.tls(shelf_with(tmp_path, network_tls=mixed))
    assert "| slow4g | resumed | 1.000 | **1.300** |" in text and "| slow4g | cold | 0.990 |  |" in text
    assert "no cell was measured" in agreement.tls(shelf_with(tmp_path, network_tls=kernel_result(wifi=None))).lower()


@pytest.mark.parametrize(
    ("low", "ram", "said"), [(0.951, 90, "met"), (0.949, 90, "**missed**"), (0.951, 91, "**missed**")]
)
def test_an_aim_is_met_by_the_lower_bound_and_the_bytes_together(low: float, ram: int, said: str) -> None:
    point = {"effort": 8, "recall": estimate(0.96, low, 0.97)}
    ours = {"effort": 8, "points": [point], "memory": {"anonymous_bytes": 1000 * ram}}
    assert aims._ram(1000, ours)[-1] == said


def test_overhead_is_judged_by_its_upper_bound_at_the_effort_that_serves() -> None:
    def point(effort: int, high: float) -> dict:
        return {"effort": effort, "against_limit": {"cpu": estimate(1.1, 1.05, high)}}

    ours = {"effort": 8, "points": [point(4, 1.9), point(8, 1.15), point(16, 1.9), point(32, 1.9)]}
    aim, measured, verdict = aims._overhead(ours)
    assert verdict == "met" and "32" not in measured and "nprobe 8: 10.0 [5.0, 15.0] %" in measured
    ours["points"][1] = point(8, 1.16)
    assert aims._overhead(ours)[-1] == "**missed**" and "15 %" in aim


def test_a_service_that_holds_nothing_is_said_to() -> None:
    row = {"rate": 40.0, "ms": {"p50": 3.0}}
    found = {"tables": {"sightline": [row]}, "knee_per_s": {"sightline": None}}
    assert load._at_knee(found, "sightline") == ["none", "", "40: too few"]


def test_ratios_of_too_short_a_run_are_said_to_be_too_few() -> None:
    ratios = {
        "over_plain": {"server_cpu_ms": None},
        "server_cpu_over_bare_index": {"sightline": estimate(7.5, 7.3, 7.8)},
    }
    assert load._times(ratios, {"cpu_ms": {"p50": 0.2}}) == (
        "CPU of an answer at the service's knee, times the plain handler's: too few; times the bare index call's 0.20 ms: 7.5 [7.3, 7.8]."
    )
