"""Profiles: the shipped file is whole and cites its sources, and what a file says wrongly is named with its key."""

import csv
from pathlib import Path

import numpy as np
import pytest

from sightline_bench.netsim.clock import MS_NS, SECOND_NS
from sightline_bench.netsim.link import Dropped
from sightline_bench.netsim.profiles import AWAKE, parse_profiles, read_profiles, shipped_profiles
from sightline_bench.netsim.radio import Direction, RadioState
from sightline_bench.netsim.traces import OpportunityTrace
from sightline_shared.errors import ConfigInvalid

UP, DOWN = Direction.UP, Direction.DOWN

LEAST = """
format = 1
[radios.r]
source = "s"
drx_after_ms = 1
drx_cycle_ms = 2
idle_after_ms = 3
promotion_ms = 4
paging_cycle_ms = 5
[[shapes]]
name = "w"
source = "s"
p5_mbit = 1
p50_mbit = 2
p95_mbit = 4
correlation = 0.5
stalls = { count = 2, longest_ms = 300, seconds = 60 }
[[profiles]]
name = "a"
title = "A"
source = "s"
round_trip_ms = 20
down_mbit = 12
up_shape = "w"
jitter_ms = 0
queue_packets = 2
radio = "r"
loss = { share = 0.1, burst_packets = 2 }
"""


def test_the_shipped_profiles_are_whole_and_say_where_they_come_from() -> None:
    book = shipped_profiles()
    assert {"5g", "dense4g", "lte", "slow4g", "3g", "edge", "wifi", "lte-driving"} <= set(book.profiles)
    for profile in book.profiles.values():
        assert len(profile.source) > 20 and profile.radio is book.radios[profile.radio_name]
        cell = profile.cell(seed=1)
        for direction in Direction:
            assert isinstance(cell.links[direction].offer(0, 100), int | Dropped)


def test_figures_are_those_of_the_sources() -> None:
    book = shipped_profiles()
    found = {
        name: (each.round_trip_ms, each.down, each.up)
        for name in ("slow4g", "3g", "dense4g", "lte", "edge")
        if (each := book.named(name))
    }
    assert found == {
        "slow4g": (150, 1.6, 0.75),
        "3g": (300, 0.7, 0.7),
        "dense4g": (40, 10.24, 10.24),
        "lte": (55, 21.3, 6.3),
        "edge": (840, 0.24, 0.2),
    }


def test_a_profile_is_built_as_it_is_written() -> None:
    profile = parse_profiles(LEAST.replace("share = 0.1", "share = 0.0").encode(), "f").named("a")
    cell = profile.cell(seed=1)
    down = cell.links[DOWN]
    # Half the round trip, then 1 ms for 1,500 bytes; two packets wait at most.
    assert cell.before_ns(DOWN) == 10 * MS_NS and cell.before_ns(UP) == 0
    assert [down.offer(0, 1500) for _ in range(3)] == [MS_NS, 2 * MS_NS, Dropped.QUEUE_FULL]
    assert not profile.is_constant and profile.radio.promotion_ns == 4 * MS_NS and profile.loss.share == 0


def test_a_recorded_trace_stands_in_for_a_rate() -> None:
    recorded = {UP: OpportunityTrace("t", np.array([7, 9]))}
    cell = parse_profiles(LEAST.replace("share = 0.1", "share = 0.0").encode(), "f").named("a").cell(1, recorded)
    assert cell.links[UP].offer(0, 1500) == 17 * MS_NS


def test_a_profile_without_a_radio_never_waits_for_one() -> None:
    radio = RadioState(AWAKE)
    assert [radio.gate(at, direction) for at, direction in ((5, UP), (10**12, DOWN))] == [5, 10**12]


def test_a_seed_is_a_network() -> None:
    def arrivals(seed: int) -> list[object]:
        link = shipped_profiles().named("lte-driving").cell(seed).links[UP]
        return [link.offer(at * 100 * MS_NS, 1500) for at in range(200)]

    assert arrivals(1) == arrivals(1) != arrivals(2)


# Ours, and the source's row.
PINGS = [("5g-ucc", "5G"), ("lte-ucc", "LTE"), ("hspa-ucc", "HSPA+")]


@pytest.mark.parametrize(("name", "mode"), PINGS)
def test_pings_take_what_the_packs_pings_took(packs: Path, name: str, mode: str) -> None:
    """A packet of 84 bytes there and back, once a second; unanswered ones are told apart, as in the source."""
    with open(packs / "network" / "measured" / "ucc_ping_by_mode.csv", newline="") as file:
        (row,) = [row for row in csv.DictReader(file) if row["mode"] == mode]
    profile = shipped_profiles().named(name)
    cell, times_ms = profile.cell(seed=1), []
    for second in range(20_000):
        begun = second * SECOND_NS
        there = cell.links[UP].offer(begun, 84)
        back = there if isinstance(there, Dropped) else cell.links[DOWN].offer(there + cell.before_ns(DOWN), 84)
        if not isinstance(back, Dropped):
            times_ms.append((back - begun) / MS_NS)
    published = [float(row[f"avg_p{level}"]) for level in (5, 50, 95)]
    assert np.percentile(times_ms, [5, 50, 95]).tolist() == pytest.approx(published, rel=0.06)
    unanswered = 1 - (1 - profile.loss.share) ** 2
    assert 100 * unanswered == pytest.approx(float(row["loss_mean_pct"]), rel=0.02)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("format = 1", "format = 2", "f: format: expected one of 1"),
        ("promotion_ms = 4", "promotion_ms = -4", "radios.r.promotion_ms: expected a number from 0"),
        ("promotion_ms = 4", "promotion_ms = nan", "radios.r.promotion_ms"),
        ("promotion_ms = 4", "", "radios.r.promotion_ms: expected this key"),
        ("idle_after_ms = 3", "idle_after_ms = 0.5", "idle not before dozing"),
        ("idle_after_ms = 3", "idle_after_ms = 3\nfach_ms = 1", "radios.r.fach_ms: expected no such key"),
        ("p50_mbit = 2", "p50_mbit = 5", "p5 <= p50 <= p95"),
        ("longest_ms = 300", "longest_ms = 99", "more than 100 ms"),
        ("count = 2", "count = 500", "stalls: expected 1 to 400 in 60 s"),
        ("queue_packets = 2", "queue_packets = 2\nspikes = { share = 2, ms = 1 }", r"profiles\[0\].spikes.share"),
        ("queue_packets = 2", "queue_packets = " + "2" * 5000, "expected a TOML file"),
        ("seconds = 60", "seconds = 60, x = 1", r"shapes\[0\].stalls.x: expected no such key"),
        ('radio = "r"', 'radio = "q"', r"profiles\[0\].radio: expected one of 'r', got 'q'"),
        ('up_shape = "w"', 'up_shape = "v"', r"profiles\[0\].up_shape: expected one of 'w'"),
        ("down_mbit = 12", "down_mbit = 0", r"profiles\[0\].down_mbit"),
        ("down_mbit = 12", "down_mbit = 12\nup_mbit = 3", r"profiles\[0\].up_mbit: expected no such key"),
        ("down_mbit = 12", "down_mbit = true", r"profiles\[0\].down_mbit"),
        ("queue_packets = 2", "queue_packets = 0", r"profiles\[0\].queue_packets"),
        ("burst_packets = 2", "burst_packets = 0.5", r"profiles\[0\].loss.burst_packets"),
        ('source = "s"\nround', "round", r"profiles\[0\].source: expected this key"),
        ('title = "A"', 'title = "A | B"', r"profiles\[0\].title: expected a text on one line without '|'"),
        ('title = "A"', 'title = "A\\n# B"', r"profiles\[0\].title: expected a text on one line"),
        ('name = "a"', 'name = "a|b"', r"profiles\[0\].name: expected a text on one line"),
        ("[[profiles]]", "[[profile]]", "profiles: expected this key"),
        ("format = 1", "format = 1 =", "expected a TOML file"),
    ],
)
def test_what_a_file_says_wrongly_is_named(before: str, after: str, message: str) -> None:
    assert before in LEAST
    with pytest.raises(ConfigInvalid, match=message):
        parse_profiles(LEAST.replace(before, after, 1).encode(), "f")


def test_names_are_given_once_and_known() -> None:
    twice = LEAST + LEAST[LEAST.index("[[profiles]]") :]
    with pytest.raises(ConfigInvalid, match=r"profiles\[1\].name: expected a name of its own, got 'a'"):
        parse_profiles(twice.encode(), "f")
    with pytest.raises(ConfigInvalid, match="expected one of a, got 'b'"):
        parse_profiles(LEAST.encode(), "f").named("b")


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(LEAST)
    assert list(read_profiles(tmp_path / "mine.toml").profiles) == ["a"]
    with pytest.raises(ConfigInvalid, match="No such file"):
        read_profiles(tmp_path / "none.toml")
    (tmp_path / "large.toml").write_text("#" * 300_000)
    with pytest.raises(ConfigInvalid, match="at most 262144 bytes"):
        read_profiles(tmp_path / "large.toml")
