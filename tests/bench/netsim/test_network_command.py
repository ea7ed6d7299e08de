"""`bench network`'s options in real time: which networks, how many, what is refused before anything runs, what a result says of files."""

import argparse
import json
from pathlib import Path

import pytest

from sightline_bench.commands import network
from sightline_bench.netsim import realtime
from sightline_bench.netsim.digests import file_digest
from sightline_bench.netsim.product_table import as_markdown
from sightline_bench.netsim.profiles import shipped_profiles
from sightline_bench.quality.tasks import samples_suite
from sightline_shared.errors import ConfigInvalid, InputError

FIVE = "\n".join(
    f'[[profiles]]\nname = "{name}"\ntitle = "{name}"\nsource = "made"\nround_trip_ms = 10\ndown_mbit = 10\nup_mbit = 10\n'
    "jitter_ms = 0\nqueue_packets = 100\n"
    for name in "abcde"
)


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    network.add_arguments(parser)
    return parser.parse_args(words)


def names(*words: str) -> list[str]:
    args = options(*words)
    book = network.read_profiles(Path(args.profile_file)) if args.profile_file else shipped_profiles()
    return [each.name for each in network.plan_of(args, book).networks]


def steady(path: Path, mbit: int) -> Path:
    path.write_text("t_s,down_mbps\n" + "".join(f"{second},{mbit}\n" for second in range(10)))
    return path


def test_what_runs_in_real_time_has_fewer_networks_and_queries_unless_told_otherwise(tmp_path: Path) -> None:
    assert names("--what", "theory") == ["dense4g", "slow4g", "3g"]
    assert names("--what", "product") == ["dense4g", "slow4g", "lte", "5g"]
    assert "lte" in names("--what", "kernel") and "lte-driving" not in names("--what", "kernel")
    assert names("--what", "product", "--profiles", "wifi") == ["wifi"]
    book = shipped_profiles()
    assert network.plan_of(options("--what", "product"), book).n == 40
    assert network.plan_of(options("--what", "product", "--n", "7"), book).n == 7
    own = tmp_path / "own.toml"
    own.write_text(f"format = 1\n{FIVE}")
    for what in network.WHAT:
        assert names("--what", what, "--profile-file", str(own)) == ["a", "b", "c", "d", "e"]
    assert names("--quick", "--profile-file", str(own)) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--seed", "-1"), "--seed"),
        (("--seed", str(2**63)), "--seed"),
        (("--what", "theory", "--seconds", "0.5"), "--seconds"),
        (("--what", "theory", "--seconds", "nan"), "--seconds"),
        (("--what", "theory", "--profiles", "lte"), "got lte"),
        (("--what", "kernel", "--profiles", "lte-driving"), "without traces"),
        (("--what", "kernel", "--sizes", "7"), "8 bytes"),
        (("--what", "proxy", "--sizes", "7"), "8 bytes"),
        (("--what", "product", "--strategies", "5 crops"), "--strategies"),
        (("--what", "product", "--back-end", "proxy", "--situations", "idle"), "radio is awake"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        network.run(options(*words))


def test_the_proxys_radio_never_sleeps_so_nobody_asks_for_it_by_default() -> None:
    plan = network.plan_of(options("--what", "product", "--back-end", realtime.PROXY), shipped_profiles())
    assert list(plan.situations) == ["warm", "cold"]


def test_a_scenario_says_what_its_traces_and_its_times_were(tmp_path: Path) -> None:
    fast, slow = steady(tmp_path / "fast.csv", 50), steady(tmp_path / "slow.csv", 1)
    scenarios = [
        network.run(options("--what", "sizes", "--profiles", "lte", "--n", "1", "--down-trace", str(path)))["scenario"]
        for path in (fast, slow, fast)
    ]
    assert scenarios[0] == scenarios[2] != scenarios[1]
    edge = tmp_path / "edge.json"
    edge.write_text(network.KEPT.read_text())
    args = ("--profiles", "5g", "--n", "1", "--situations", "warm", "--strategies", "code")
    said = network.run(options(*args, "--edge", str(edge)))["scenario"]["edge"]
    assert said == f"edge.json {file_digest(edge)}" and len(file_digest(edge)) == 16
    assert file_digest(tmp_path / "none") == ""


BUDGET = """format = 1
goal_ms = 200
[[budgets]]
network = "a"
fits = true
allowed_ms = { device = %d, uplink = 50, queue = 10, server = 60, downlink = 30, after = 5 }
why = "made"
"""


@pytest.mark.parametrize(("device_ms", "ok"), [(45, True), (1, False)])
def test_a_network_of_ones_own_has_the_verdict_of_ones_own_budget(device_ms: int, ok: bool, tmp_path: Path) -> None:
    own, budget = tmp_path / "own.toml", tmp_path / "budget.toml"
    own.write_text(f"format = 1\n{FIVE}")
    budget.write_text(BUDGET % device_ms)
    words = ("--profile-file", str(own), "--profiles", "a", "--situations", "warm", "--strategies", "code")
    result = network.run(options(*words, "--budget", str(budget)))
    assert result["ok"] is ok and result["budget"]["a"]["ok"] is ok


def test_without_a_budget_or_enough_queries_there_is_no_verdict_and_the_table_says_so(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    # By the name alone the shipped budget would judge another network.
    own.write_text("format = 1\n" + FIVE.replace('"a"', '"lte"').replace("round_trip_ms = 10", "round_trip_ms = 900"))
    words = ("--situations", "warm", "--strategies", "code")
    for more in (("--profile-file", str(own), "--profiles", "lte"), ("--profiles", "5g", "--n", "199")):
        result = network.run(options(*words, *more))
        assert result["ok"] is None and result["budget"] == {} and "no verdict" in network.show(result)


@pytest.mark.parametrize(
    ("text", "said"), [(None, "No such file"), ("x" * 300_000, "at most"), ("format = " + "1" * 5000, "TOML")]
)
def test_a_budget_that_is_none_is_named(text: str | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "budget.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigInvalid, match=said):
        network.run(options("--profiles", "5g", "--n", "1", "--budget", str(path)))


def test_the_product_runs_by_command_without_root_and_is_flagged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(realtime, "samples_suite", lambda root: samples_suite(root, items=8))
    own, out = tmp_path / "own.toml", tmp_path / "product.json"
    own.write_text(f"format = 1\n{FIVE}")
    words = ("--what", "product", "--back-end", "proxy", "--profile-file", str(own), "--profiles", "a", "--n", "2")
    result = network.run(options(*words, "--strategies", "code,racing", "--out", str(out)))
    assert result["back_end"] == "proxy" and "one packet each way" in result["about"]
    assert as_markdown(result).startswith(f"**{result['about']}**") and network.show(result) == as_markdown(result)
    assert json.loads(out.read_text())["product"] == result["product"]
    assert set(result["samples"]) >= {
        "a, warm, code: final ms",
        "a, cold, racing: first ms",
        "none, before, warm, code: final ms",
    }
