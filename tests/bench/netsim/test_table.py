"""`bench network --what sizes`: every cell is the run that it names, the text says what the figures say, wrong options are named."""

import argparse
import gzip
import json
from pathlib import Path

import pytest

from sightline_bench.commands import network
from sightline_bench.netsim.profiles import shipped_profiles
from sightline_bench.results import read
from sightline_shared.errors import ConfigInvalid, InputError


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    network.add_arguments(parser)
    return parser.parse_args(["--what", "sizes", "--packs", "none", *words])


QUICK = ("--profiles", "slow4g,dense4g", "--sizes", "64,40000", "--situations", "warm,cold,idle", "--n", "3")


def test_the_table_is_what_the_networks_allow(tmp_path: Path) -> None:
    result = network.run(
        parsed(*QUICK, "--stack", "http1-plain", "--server-ms", "10", "--out", str(tmp_path / "n.json"))
    )
    networks = result["networks"]
    assert list(networks) == ["slow4g", "dense4g"] and list(networks["slow4g"]["warm"]) == ["64 B", "40000 B"]
    # A round trip of 150 ms, 10 ms, 64 + 38 + 275 + 52 bytes at 750 kbit/s; 2,093 + 145 + 2 x 52 at 1.6 Mbit/s.
    by_hand = 160 + 8 * 429 / 750 + 8 * 2342 / 1600
    assert networks["slow4g"]["warm"]["64 B"]["ms"]["p50"]["value"] == pytest.approx(by_hand, abs=0.001)
    for row in networks.values():
        for size in ("64 B", "40000 B"):
            warm, cold, idle = (row[situation][size]["ms"]["p50"]["value"] for situation in ("warm", "cold", "idle"))
            # While the radio wakes up a probe goes out, so 40 KB have eleven packets in their first flight.
            assert warm < cold and warm + (269 if size == "64 B" else 240) < idle <= warm + 271
        assert row["warm"]["64 B"]["ms"]["p50"]["value"] < row["warm"]["40000 B"]["ms"]["p50"]["value"]
    kept = read(tmp_path / "n.json")
    assert kept["networks"] == json.loads(json.dumps(networks)) and kept["scenario"]["server_ms"] == 10
    text = network.show(result)
    assert "**idle**" in text and f"| slow 4G (Lighthouse) | {by_hand:.0f} / too few (0 %) |" in text


def test_the_same_seed_gives_the_same_figures_and_the_scenario_tells_networks_apart() -> None:
    words = ("--profiles", "lte-ucc", "--sizes", "2048", "--situations", "warm", "--n", "40")
    one, same, other = (network.run(parsed(*words, "--seed", seed)) for seed in ("1", "1", "2"))
    assert one["networks"] == same["networks"] != other["networks"] and one["scenario"] == same["scenario"]


def test_a_fleet_waits_for_itself_where_devices_do_not() -> None:
    words = ("--profiles", "slow4g", "--sizes", "40000", "--situations", "warm", "--n", "40")
    alone, together = network.run(parsed(*words)), network.run(parsed(*words, "--per-second", "1.5"))
    cells = [each["networks"]["slow4g"]["warm"]["40000 B"] for each in (alone, together)]
    assert cells[0]["stages_ms"]["queue"] == 0 and cells[1]["stages_ms"]["queue"] > 50
    assert cells[1]["max_ms"] > cells[0]["max_ms"]


def test_a_recorded_trace_stands_in(tmp_path: Path) -> None:
    path = tmp_path / "slow.gz"
    path.write_bytes(
        gzip.compress("".join(f"{at}\n" for at in range(1000, 61_000, 1000)).encode())
    )  # one packet a second
    words = ("--profiles", "dense4g", "--sizes", "64", "--situations", "warm", "--n", "20", "--down-trace", str(path))
    cell = network.run(parsed(*words))["networks"]["dense4g, recorded"]["warm"]["64 B"]
    # The first packet of the answer waits half a second on average, and the second a second more.
    assert 1000 < cell["ms"]["p50"]["value"] < 2100 and cell["miss_200_ms"]["value"] == 1


def test_every_shipped_profile_and_situation_gives_figures() -> None:
    situations = ("warm", "cold", "idle", "cold and idle", "resumed", "0-rtt")
    result = network.run(parsed("--sizes", "64", "--n", "1", "--situations", ",".join(situations), "--stack", "http3"))
    assert list(result["networks"]) == list(shipped_profiles().profiles)
    assert all(list(row) == list(situations) for row in result["networks"].values())
    five_g = {
        situation: cell["64 B"]["ms"]["p50"]["value"] for situation, cell in result["networks"]["dense4g"].items()
    }
    assert five_g["warm"] < five_g["0-rtt"] < five_g["resumed"] < five_g["cold"] < five_g["cold and idle"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--profiles", "6g"), "expected one of 5g.*got '6g'"),
        (("--sizes", "64,x"), "--sizes: expected bytes"),
        (("--sizes", "0"), "--sizes: expected bytes"),
        (("--sizes", "1_0"), "--sizes: expected bytes"),
        (("--situations", "asleep"), "--situations: expected some of warm.*got 'asleep'"),
        (("--strategies", "pigeon", "--what", "strategies"), "--strategies: expected some of photo.*got 'pigeon'"),
        (("--edge", __file__, "--what", "strategies"), "as JSON"),
        (("--edge", "none.json", "--what", "strategies"), "got no file"),
        (("--sizes", "7", "--what", "kernel"), "--sizes of 8 bytes or more"),
        (("--n", "0"), "--n of 1 to"),
        (("--n", "20001"), "--n of 1 to 20000"),
        (("--server-ms", "nan"), "--server-ms of 0"),
        (("--server-ms", "-1"), "--server-ms of 0"),
        (("--per-second", "0"), "--per-second: expected"),
        (("--down-trace", __file__, "--profiles", "lte"), "whole number of milliseconds"),
        (("--profile-file", __file__), "expected a TOML file"),
    ],
)
def test_wrong_options_are_named(words: tuple[str, ...], message: str) -> None:
    with pytest.raises((InputError, ConfigInvalid), match=message):
        network.run(parsed(*words))


def test_a_trace_stands_in_for_one_network_only(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("1\n")
    with pytest.raises(InputError, match="one of --profiles with them, got 2"):
        network.run(parsed("--profiles", "lte,3g", "--down-trace", str(tmp_path / "t")))
