"""`bench network` from outside: the same bytes for a seed in every process, stages that add up, and a stall that p95 shows."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sightline_bench.netsim.profiles import shipped_profiles

# What differs between two runs of the same thing: when, where, how long, and what the output file was called.
OF_THE_RUN = ("machine", "load_after", "seconds", "command")


def asked(folder: Path, *words: str, hash_seed: str = "0") -> dict[str, Any]:
    """The result that the command writes, in a process of its own and without the packs."""
    out = folder / f"{len(list(folder.glob('*.json')))}.json"
    code = "import sys; from sightline_shared.cli import main; sys.exit(main(sys.argv[1:]))"
    env = {name: value for name, value in os.environ.items() if name != "SIGHTLINE_PACKS"}
    done = subprocess.run(
        [sys.executable, "-c", code, "bench", "network", *words, "--out", str(out)],
        capture_output=True,
        text=True,
        env={**env, "PYTHONHASHSEED": hash_seed},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    return {name: value for name, value in found.items() if name not in OF_THE_RUN}


def test_the_whole_result_is_the_same_bytes_for_a_seed_in_another_process(tmp_path: Path) -> None:
    words = ("--profiles", "lte-ucc,lte-walking", "--strategies", "code,racing", "--n", "10")
    for more in (("--situations", "cold"), ("--per-second", "5", "--stack", "http3", "--situations", "idle,0-rtt")):
        one, same = (json.dumps(asked(tmp_path, *words, *more, hash_seed=seed)) for seed in ("1", "4242"))
        assert one == same and len(one) > 5000
    assert asked(tmp_path, *words, *more, "--seed", "1")["networks"] != json.loads(one)["networks"]


def test_stages_add_up_to_the_mean_of_the_raw_samples(tmp_path: Path) -> None:
    # 3G while driving has queries that are never answered: they are in no mean.
    names = [name for name in shipped_profiles().profiles if name != "3g-driving"]
    words = ("--profiles", ",".join(names), "--strategies", "code,photo 40 KB", "--situations", "warm", "--n", "40")
    found = asked(tmp_path, *words)
    assert list(found["networks"]) == names
    for network, row in found["networks"].items():
        for strategy, cell in row["warm"].items():
            ms = found["samples"][f"{network} {strategy} ms"]
            assert len(ms) == 40 and cell["unanswered"] == 0
            assert sum(cell["stages_ms"].values()) == pytest.approx(sum(ms) / 40, rel=1e-4)
            # The median is one of them: half are at or below it.
            assert sorted(ms)[19] == pytest.approx(cell["final"]["ms"]["p50"]["value"], rel=1e-5)


def test_a_second_in_which_nothing_passes_is_seen_at_p95(tmp_path: Path) -> None:
    """A tenth of all queries fall into it, and those wait for half a second on average: p95 is what the middle one of them waits."""
    calm, stalled = tmp_path / "calm", tmp_path / "stalled"
    calm.write_text("".join(f"{at}\n" for at in range(1, 10_001)))
    stalled.write_text("".join(f"{at}\n" for at in range(1, 10_001) if not 4000 <= at < 5000))
    words = ("--what", "sizes", "--profiles", "dense4g", "--sizes", "64", "--situations", "warm", "--n", "600")

    def ms(trace: Path, *more: str) -> dict[str, Any]:
        row = asked(tmp_path, *words, "--down-trace", str(trace), *more)["networks"]["dense4g, recorded"]["warm"]
        return row["64 B"]["ms"]

    for arrivals in ((), ("--per-second", "20")):
        quiet, late = (ms(trace, *arrivals) for trace in (calm, stalled))
        assert quiet["p95"]["value"] < 55
        assert late["p95"]["value"] == pytest.approx(quiet["p95"]["value"] + 500, abs=200)
        low, high = late["p95"]["interval"]
        assert low < late["p95"]["value"] < high and high > low + 20
        assert late["p50"]["value"] == pytest.approx(quiet["p50"]["value"], abs=3)
