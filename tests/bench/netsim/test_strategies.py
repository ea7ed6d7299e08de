"""`bench network`: ways to ask are real bodies and real times over one network; budgets are kept, or say what broke them."""

import argparse
import gzip
import json
import random
from pathlib import Path

import numpy as np
import pytest

from sightline_bench.commands import network
from sightline_bench.netsim import budget
from sightline_bench.netsim.budget import STAGES, parse_budgets, shipped_budgets
from sightline_bench.netsim.profiles import shipped_profiles
from sightline_bench.netsim.recorded import recorded_networks
from sightline_bench.netsim.strategies import STRATEGIES, body_bytes, measure
from sightline_bench.netsim.table import Network, Plan
from sightline_bench.netsim.timeline import SECONDS, timeline
from sightline_bench.netsim.times import Drawn, Times, read_times
from sightline_bench.results import Run, read, write
from sightline_shared.errors import ConfigInvalid, InputError

BOOK = shipped_profiles()
# One query, so that everything is exact: 6 ms on the device, 4 a crop more, 1 after the answer; 5 at the service, 7 to embed there.
TIMES = Times(*(np.array([float(ms)]) for ms in (6, 4, 1, 7, 5, 2)))


def plan(*names: str, **changes) -> Plan:
    wanted = {"situations": ["warm"], "n": 1, "stack": "http1-plain", "answer_bytes": 1000}
    return Plan([Network.of(BOOK.named(name)) for name in names], **(wanted | changes))


def asked(names: list[str], *profiles: str, **changes) -> dict:
    return measure(plan(*profiles, **changes), names, TIMES, lambda: None)[0]


def final_ms(cell: dict) -> float:
    return cell["final"]["ms"]["p50"]["value"]


def by_hand(up_bytes: int, server_ms: float = 5.0) -> float:
    """slow4g, one packet each way: 150 ms, 750 kbit/s up, 1.6 Mbit/s down, the service's time, heads and headers."""
    return 150 + 8 * (up_bytes + 275 + 52) / 750 + server_ms + 8 * (1000 + 145 + 52) / 1600


# --- ways to ask


def test_a_body_is_what_the_client_packs() -> None:
    assert body_bytes(1, 64) == 102  # `bench edge` measured it on the real client
    assert body_bytes(1, 256) == 102 + 192 + 1  # a byte more for a length above 255
    # Each code more: 64 bytes and a score; their number (2 bytes), and a byte of length above 255.
    assert [body_bytes(codes, 64) for codes in (2, 3, 4, 5)] == [
        102 + 65 + 2,
        102 + 130 + 2,
        102 + 195 + 3,
        102 + 260 + 3,
    ]
    sizes = {name: strategy.up_bytes for name, strategy in STRATEGIES.items()}
    assert sizes["racing"] == sizes["code"] == 102 and sizes["pocket"] is sizes["cached"] is None
    assert sizes["photo 40 KB"] == 40_102 and sizes["float vector"] == 102 + 960


def test_every_way_takes_what_it_must_by_hand() -> None:
    row = asked(list(STRATEGIES), "slow4g")["slow4g"]["warm"]
    assert final_ms(row["code"]) == pytest.approx(6 + by_hand(102) + 1, abs=0.002)
    assert final_ms(row["int8 vector"]) == pytest.approx(6 + by_hand(295) + 1, abs=0.002)
    assert final_ms(row["float vector"]) == pytest.approx(6 + by_hand(1062) + 1, abs=0.002)
    assert final_ms(row["3 crops"]) == pytest.approx(6 + 2 * 4 + by_hand(body_bytes(3, 64)) + 1, abs=0.002)
    assert final_ms(row["5 crops"]) == pytest.approx(6 + 4 * 4 + by_hand(body_bytes(5, 64)) + 1, abs=0.002)
    # A photograph takes no time on the device, and 7 ms more at the service.
    assert final_ms(row["photo 40 KB"]) > by_hand(40_102, server_ms=12)
    assert row["photo 40 KB"]["stages_ms"]["server"] == 12 and row["photo 40 KB"]["stages_ms"]["device"] == 0
    assert final_ms(row["pocket"]) == pytest.approx(7.3) and final_ms(row["cached"]) == pytest.approx(8)


def test_racing_answers_first_by_itself_and_then_as_the_code_does() -> None:
    row = asked(["code", "racing", "pocket"], "slow4g")["slow4g"]["warm"]
    assert row["racing"]["final"] == row["code"]["final"]
    assert row["racing"]["first"] == row["pocket"]["final"] == row["pocket"]["first"]
    assert row["code"]["first"] == row["code"]["final"]


def test_stages_add_up_and_bytes_are_counted_with_headers() -> None:
    cell = asked(["code"], "slow4g", situations=["cold"])["slow4g"]["cold"]["code"]
    assert sum(cell["stages_ms"].values()) == pytest.approx(final_ms(cell), abs=0.01)
    assert list(cell["stages_ms"]) == list(cell["stages_ms"]) and set(cell["stages_ms"]) == set(STAGES)
    assert cell["bytes"]["up"] > 102 + 275 + 60 and cell["bytes"]["down"] > 1000 + 145 + 60
    assert asked(["pocket"], "slow4g")["slow4g"]["warm"]["pocket"]["bytes"] == {"up": 0, "down": 0}


def test_an_answer_that_never_comes_leaves_the_first_one() -> None:
    never = parse("share = 0.9, burst_packets = 100")
    found = measure(Plan([Network.of(never)], ["warm"], n=30), ["code", "racing"], TIMES, lambda: None)[0]["n"]["warm"]
    assert found["code"]["unanswered"] and found["racing"]["first"]["miss_200_ms"]["value"] == 0
    assert found["code"]["final"]["miss_200_ms"]["value"] > 0.3


def parse(loss: str):
    from sightline_bench.netsim.profiles import parse_profiles

    text = f"""
format = 1
[[profiles]]
name = "n"
title = "N"
source = "made for a test"
round_trip_ms = 40
down_mbit = 10
up_mbit = 10
jitter_ms = 0
queue_packets = 100
loss = {{ {loss} }}
"""
    return parse_profiles(text.encode(), "f").named("n")


# --- times


def test_times_come_from_a_result_of_bench_edge(tmp_path: Path) -> None:
    names = [
        "decode",
        "preprocess",
        "embed",
        "sensitive",
        "gate",
        "encode",
        "unpack",
        "rerank",
        "whole device",
        "round_trip",
    ]
    samples = {f"{name} ms": [float(number), 100.0 + number] for number, name in enumerate(names, 1)}
    write(Run("edge", {}).result({}, {**samples, "cached ms": [0.5]}), tmp_path / "edge.json")
    times = read_times(tmp_path / "edge.json")
    assert times.device.tolist() == [9, 109] and times.service.tolist() == [10, 110] and times.cached.tolist() == [0.5]
    assert times.crop[0] == 2 + 3 + 4 + 5 + 6 and times.after[0] == 7 + 8 and times.embeds[0] == 1 + 2 + 3 + 6
    drawn = {times.draw(random.Random(seed)) for seed in range(20)}
    assert {(each.device, each.crop) for each in drawn} == {(9.0, 20.0), (109.0, 520.0)}  # of the same query
    assert Drawn(9.0, 20.0, 15.0, 12.0, 10.0, 0.5) in drawn


@pytest.mark.parametrize("samples", [{}, {"whole device ms": [1.0]}, {"round_trip ms": []}])
def test_a_result_without_such_samples_is_refused(tmp_path: Path, samples: dict) -> None:
    write(Run("edge", {}).result({}, samples), tmp_path / "edge.json")
    with pytest.raises(InputError, match="the samples of 'bench edge'"):
        read_times(tmp_path / "edge.json")


# --- recorded traces and the timeline


def test_recorded_traces_stand_beside_the_made_ones_where_both_are_there(tmp_path: Path) -> None:
    folder = tmp_path / "network" / "traces"
    folder.mkdir(parents=True)
    profiles = [BOOK.named("slow4g"), BOOK.named("lte-driving")]
    trace = gzip.compress(b"1\n7\n")
    (folder / "att-lte-driving-2016.up.mm.gz").write_bytes(trace)
    assert recorded_networks(profiles, tmp_path) == []
    (folder / "att-lte-driving-2016.down.mm.gz").write_bytes(trace)
    (found,) = recorded_networks(profiles, tmp_path)
    assert found.name == "lte-driving, recorded" and found.round_ns == 7_000_000
    assert {len(each.times_ms) for each in found.recorded.values()} == {2}


def test_the_packs_have_the_traces_of_three_networks(packs: Path) -> None:
    found = [network.name for network in recorded_networks(list(BOOK.profiles.values()), packs)]
    assert found == ["lte-driving, recorded", "lte-walking, recorded", "3g-driving, recorded"]


def test_a_timeline_has_the_capacity_beneath() -> None:
    assert timeline(plan("slow4g")) == {}
    found = timeline(plan("slow4g", "lte-walking"))
    assert found["network"] == BOOK.named("lte-walking").title
    assert 180 < len(found["asked_s"]) == len(found["answer_ms"]) <= 240
    assert sorted(found["asked_s"]) == found["asked_s"] and found["asked_s"][-1] < SECONDS
    capacity = found["capacity_mbit"]["down"]
    assert len(capacity) == SECONDS and 3 < np.median(capacity) < 6  # 4.26 in all 300 s


# --- budgets


def test_the_shipped_budgets_are_for_the_shipped_networks_and_within_the_goal() -> None:
    budgets = shipped_budgets()
    assert {each.network for each in budgets} == set(BOOK.profiles)
    assert all(sum(each.allowed_ms.values()) <= each.goal_ms == 200 for each in budgets)
    assert {each.network for each in budgets if not each.fits} >= {"3g", "edge"}


def kept(allowed: str, goal: int = 200) -> dict:
    text = f"format = 1\ngoal_ms = {goal}\n[[budgets]]\nnetwork = 'slow4g'\nwhy = 'w'\nfits = true\nallowed_ms = {{ {allowed} }}"
    found = asked(["code"], "slow4g", n=200)
    return budget.kept(parse_budgets(text.encode(), "f"), found)["slow4g"]


def test_a_budget_is_kept_or_says_which_stage_broke_it() -> None:
    # By hand: 6 on the device, 79.6 up, 5 at the service, 81 down, 1 afterwards: 172.5.
    good = kept("device = 6, uplink = 80, server = 5, downlink = 82, after = 1")
    assert (
        good["ok"]
        and good["in_time"]
        and good["over"] == []
        and good["p95_ms"] == pytest.approx(7 + by_hand(102), abs=0.01)
    )
    assert good["spent_ms"]["uplink"] == pytest.approx(75 + 8 * 429 / 750, abs=0.001)
    over = kept("device = 6, uplink = 79, server = 5, downlink = 82")
    assert not over["ok"] and over["in_time"] and over["over"] == ["after", "uplink"]
    late = kept("device = 6, uplink = 80, server = 5, downlink = 20", goal=150)
    assert not late["ok"] and not late["in_time"] and "**breaks it**" in budget.as_markdown({"slow4g": late})


def test_a_network_that_need_not_fit_never_fails_and_says_why() -> None:
    text = "format = 1\ngoal_ms = 200\n[[budgets]]\nnetwork = '3g'\nwhy = 'too far'\nfits = false"
    spent = budget.kept(parse_budgets(text.encode(), "f"), asked(["code"], "3g", n=200))["3g"]
    assert spent["ok"] and not spent["in_time"] and "not expected to: too far" in budget.as_markdown({"3g": spent})


def test_without_enough_queries_there_is_no_verdict() -> None:
    assert budget.kept(shipped_budgets(), asked(["code"], "slow4g", n=199)) == {}
    assert "No network" in budget.as_markdown({})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fits = true\nallowed_ms = { device = 150, uplink = 51 }", "add up to 200 ms at most, got 201"),
        ("fits = true\nallowed_ms = { devise = 1 }", "devise: expected no such key"),
        ("fits = true\nallowed_ms = { device = -1 }", "device: expected a number"),
        ("fits = true", "allowed_ms: expected this key"),
        ("fits = 1", "fits: expected one of True, False"),
        ("fits = false\nallowed_ms = { device = 1 }", "allowed_ms: expected no such key"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(text: str, message: str) -> None:
    whole = f"format = 1\ngoal_ms = 200\n[[budgets]]\nnetwork = 'n'\nwhy = 'w'\n{text}"
    with pytest.raises(ConfigInvalid, match=message):
        parse_budgets(whole.encode(), "f")


# --- the command


def test_the_command_writes_a_result_that_can_be_compared(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    network.add_arguments(parser)
    words = ["--profiles", "lte,3g", "--situations", "warm", "--strategies", "code,racing", "--packs", "none"]
    out = tmp_path / "network.json"
    result = network.run(parser.parse_args([*words, "--out", str(out)]))
    assert result["ok"] and read(out)["networks"] == json.loads(json.dumps(result["networks"]))
    assert {name: len(ms) for name, ms in result["samples"].items()} == {"lte code ms": 200, "3g code ms": 200}
    assert set(result["budget"]) == {"lte", "3g"} and result["budget"]["lte"]["in_time"]
    text = network.show(result)
    assert "| LTE (Opensignal US 2019) |" in text and "keeps it" in text and "not expected to" in text
    again = network.run(parser.parse_args(words))
    assert again["networks"] == result["networks"] and again["scenario"] == result["scenario"]


def test_a_budget_that_is_broken_fails_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    tight = (
        "format = 1\ngoal_ms = 50\n[[budgets]]\nnetwork = 'lte'\nwhy = 'w'\nfits = true\nallowed_ms = { server = 1 }"
    )
    monkeypatch.setattr(budget, "shipped_budgets", lambda: parse_budgets(tight.encode(), "f"))
    parser = argparse.ArgumentParser()
    network.add_arguments(parser)
    words = ["--profiles", "lte", "--situations", "warm", "--strategies", "code", "--packs", "none"]
    assert network.run(parser.parse_args(words))["ok"] is False
