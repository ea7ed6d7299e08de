"""Traces: read as they are meant, refused where they are not, and with the statistics that the packs' index states."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from sightline_bench.netsim import traces
from sightline_bench.netsim.clock import MS_NS, SECOND_NS
from sightline_bench.netsim.radio import Direction
from sightline_bench.netsim.traces import OpportunityTrace, RateTrace, Statistics, read_trace
from sightline_shared.errors import InputError

UP, DOWN = Direction.UP, Direction.DOWN


def written(folder: Path, name: str, data: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_a_mahimahi_trace_is_its_milliseconds(tmp_path: Path, packed: bool) -> None:
    text = b"0\n5\n5\n20\n"
    trace = read_trace(written(tmp_path, "a.down", gzip.compress(text) if packed else text), DOWN)
    assert isinstance(trace, OpportunityTrace) and trace.times_ms.tolist() == [0, 5, 5, 20]
    capacity = trace.capacity()
    assert [capacity.serve(MS_NS, 1500) for _ in range(4)] == [5 * MS_NS, 5 * MS_NS, 20 * MS_NS, 20 * MS_NS]
    assert trace.round_ns == 20 * MS_NS


def test_a_csv_is_a_rate_for_each_second(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path, "a.csv", "t_s,down_mbps,mode\n0,0,LTE\n1,0.012,5G\n"), DOWN)
    assert isinstance(trace, RateTrace) and trace.mbit.tolist() == [0, 0.012]
    assert trace.capacity().serve(0, 1500) == 2 * SECOND_NS and trace.round_ns == 2 * SECOND_NS


def test_a_csv_with_both_ways_is_read_by_direction(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "t_s,down_mbps,up_mbps\n0,1000,0.01\n")
    rates = {direction: read_trace(path, direction) for direction in Direction}
    assert {direction: trace.mbit.tolist() for direction, trace in rates.items()} == {DOWN: [1000], UP: [0.01]}


def test_a_gzip_file_of_several_members_is_read_to_its_end(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path, "a.gz", gzip.compress(b"1\n") + gzip.compress(b"2\n")), UP)
    assert isinstance(trace, OpportunityTrace) and trace.times_ms.tolist() == [1, 2]


def test_a_gzip_file_of_very_many_members_is_read_in_one_go(tmp_path: Path) -> None:
    empty = gzip.compress(b"")
    path = written(tmp_path, "a.gz", empty * 100_000 + gzip.compress(b"5\n"))
    trace = read_trace(path, UP)
    assert isinstance(trace, OpportunityTrace) and trace.times_ms.tolist() == [5]


def test_statistics_by_hand() -> None:
    # 2 opportunities in the first second, none in the second, 1 in the third, which ends the round with another.
    found = OpportunityTrace("x", np.array([0, 500, 2001, 3000])).statistics()
    assert found == Statistics(
        seconds=3.0,
        mean_mbit=0.016,
        p5_mbit=pytest.approx(0.0012),
        p50_mbit=pytest.approx(0.012),
        p95_mbit=pytest.approx(0.0228),
        max_gap_ms=1501,
        gaps_over_100ms=3,
    )


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a", "", "1 to .* lines, got 0"),
        ("a", "0\n0\n", "no length"),
        ("a", "5\n4\n", "from 5 to .*entry 2"),
        ("a", "-1\n5\n", "'-1', entry 1"),
        ("a", "1_000\n", "'1_000'"),
        ("a", "1.5\n", "'1.5'"),
        ("a", "9999999999999999999999\n", "entry 1"),
        ("a", b"\xff\xfe", "got byte 0xff at 0"),
        ("a", gzip.compress(b"1\n2\n")[:-9], "whole gzip file.*ended before"),
        ("a", b"\x1f\x8bnonsense", "whole gzip file"),
        ("a", gzip.compress(b"1\n2\n") + b"junk", "whole gzip file"),
        ("a.csv", "t_s,up_mbps\n0,1\n", "the columns t_s and down_mbps"),
        ("a.csv", "t_s,down_mbps\n0,1e-9\n", "1 bit or more"),
        ("a.csv", "", "the columns t_s"),
        ("a.csv", "t_s,mbps\n0,1\n", "the columns t_s"),
        ("a.csv", "t_s,down_mbps\n", "1 bit or more, got 0"),
        ("a.csv", "t_s,down_mbps\n0,0\n", "1 bit or more, got 1"),
        ("a.csv", "t_s,down_mbps\n0,1\n2,1\n", "expected second 1 .*data line 2"),
        ("a.csv", "t_s,down_mbps\n0,-1\n", "got '0' and '-1'"),
        ("a.csv", "t_s,down_mbps\n0,nan\n", "'nan'"),
        ("a.csv", "t_s,down_mbps\n0,inf\n", "'inf'"),
        ("a.csv", "t_s,down_mbps\n0\n", "'None'"),
        ("a.csv", 't_s,down_mbps\n0,"' + "1" * 200_000 + '"\n', "field larger than"),
    ],
)
def test_what_is_no_trace_is_refused_with_its_place(tmp_path: Path, name: str, data: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        read_trace(written(tmp_path, name, data), DOWN)
    assert str(tmp_path / name) in str(refused.value) and "NETSIM.md" in refused.value.hint


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_trace(tmp_path / "none", DOWN)


@pytest.mark.parametrize("name", ["a", "a.csv"])
def test_caps_hold(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    line = "7\n" if name == "a" else "0,5\n"
    path = written(tmp_path, name, ("" if name == "a" else "t_s,down_mbps\n") + line * 5)
    monkeypatch.setattr(traces, "MAX_LINES", 0)
    with pytest.raises(InputError, match="lines"):
        read_trace(path, DOWN)
    monkeypatch.setattr(traces, "MAX_FILE_BYTES", 9)
    with pytest.raises(InputError, match="at most 9 bytes"):
        read_trace(path, DOWN)


def test_a_bomb_of_zeros_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "MAX_TEXT_BYTES", 1000)
    with pytest.raises(InputError, match="at most 1000 bytes unpacked"):
        read_trace(written(tmp_path, "bomb.gz", gzip.compress(b"0\n" * 1_000_000)), DOWN)


def test_the_packs_traces_have_the_statistics_of_their_index(packs: Path) -> None:
    folder = packs / "network"
    for entry in json.loads((folder / "index.json").read_text()):
        trace = read_trace(folder / entry["file"], UP if ".up" in entry["file"] else DOWN)
        if isinstance(trace, RateTrace):
            assert len(trace.mbit) == entry["seconds"], entry["file"]
            assert np.percentile(trace.mbit, 50) == pytest.approx(entry["p50_mbps"], abs=0.001), entry["file"]
            continue
        found = trace.statistics()
        assert found.mean_mbit == pytest.approx(entry["mean_mbps"], rel=0.01), entry["file"]
        assert found.max_gap_ms == entry["max_gap_ms"] and found.gaps_over_100ms == entry["gaps_over_100ms"], entry
        # The index counts the last second, which is not a whole one; `statistics` does not.
        by_second = np.bincount(trace.times_ms // 1000) * 0.012
        for level in (5, 50, 95):
            assert np.percentile(by_second, level) == pytest.approx(entry[f"p{level}_mbps"], abs=0.001), entry["file"]
