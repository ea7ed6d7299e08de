"""Erased means gone: from the catalogue, the indexes, old snapshots, other generations' snapshots and the caches."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.crowd import fill
from support.erasing import VICTIMS
from support.tiny_bundle import make_tiny_bundle

from sightline_cloud.app import opened
from sightline_cloud.cache import Question
from sightline_cloud.catalog.erase import is_genuine
from sightline_cloud.embedded import EmbeddedService
from sightline_cloud.engine import Engine
from sightline_cloud.operate.erase import erase
from sightline_cloud.settings_file import read_settings
from sightline_shared.bundle import Bundle
from sightline_shared.cli import main
from sightline_shared.where import Where

COUNT = 1100
PKS = (1051, 1061)


@pytest.fixture(scope="module")
def second(tmp_path_factory) -> Bundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundles") / "second", seed=5, sensitive=True)


@pytest.fixture
def traces(tmp_path: Path, tiny: Bundle, second: Bundle) -> dict[str, bytes]:
    """A data folder of two generations with two snapshots each, and what is to be gone from it: vectors, codes, ids."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "settings.toml").write_text("ivf_min_vectors = 1000\n")
    engine = Engine(read_settings(data), tiny, second, owner="the test")
    fill(engine, COUNT)
    for live in engine.generations.values():
        (shard,) = live.indexes.shards
        shard.compact("default")
    found = {}
    for live in engine.generations.values():
        for pk in PKS:
            rows = engine.store.feed(live.key).rows([pk])
            found[f"vector {pk} of {live.key}"] = rows.vectors[0].astype("<f2").tobytes()
            found[f"code {pk} of {live.key}"] = rows.codes[0].tobytes()
    found |= {item_id: item_id.encode() for item_id in VICTIMS}
    engine.close()
    assert set(kept(data, found)) == set(found), "the traces are there before"
    return found


def kept(data: Path, traces: dict[str, bytes]) -> list[str]:
    """Return the names of the traces that any file of the folder holds."""
    contents = [path.read_bytes() for path in data.rglob("*") if path.is_file()]
    return [name for name, trace in traces.items() if any(trace in content for content in contents)]


def test_the_command_leaves_no_trace_even_of_a_generation_that_it_did_not_open(
    traces, tmp_path: Path, tiny: Bundle, tiny_folder: Path, second: Bundle, capsys
) -> None:
    data, file = tmp_path / "data", tmp_path / "receipt.json"
    words = ["index", "erase", *VICTIMS, "--data", str(data), "--bundle", str(tiny_folder), "--receipt", str(file)]
    assert main([*words, "--json"]) == 0
    receipt = json.loads(capsys.readouterr().out)
    assert receipt["found"] == list(VICTIMS) and not receipt["unknown"]
    lines = receipt["content"]["erased"]["snapshots"]
    assert any("built again without 2 items" in line for line in lines)
    assert any(second.pairing.id.hex() in line and "removed" in line for line in lines)
    assert kept(data, traces) == []
    assert {**json.loads(file.read_text()), "ok": True} == receipt
    engine = Engine(read_settings(data), tiny, second, owner="the test")
    assert is_genuine(engine.database, json.loads(file.read_text()))
    for live in engine.generations.values():
        assert live.indexes.stats()["default"]["vectors"] == COUNT - 2
    engine.close()
    assert kept(data, traces) == []
    assert main([*words, "--json"]) == 1
    assert "a new file for the receipt" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert main(["index", "erase", VICTIMS[0], "nobody", *words[4:8], "--json"]) == 1
    again = json.loads(capsys.readouterr().out)
    assert again["earlier"] == {VICTIMS[0]: 1} and again["unknown"] == ["nobody"]


def test_the_running_service_erases_from_what_answers_and_from_the_cache(
    traces, tmp_path: Path, tiny: Bundle, second: Bundle, capsys
) -> None:
    with EmbeddedService(read_settings(tmp_path / "data", port=0), tiny, second) as service:
        key = service.engine.keys.add("operator", scopes=("admin",))
        question = Question("default", tiny.pairing.id, (bytes(64),), 5, Where())
        service.engine.cache.put(question, (1,), ())
        words = ["index", "erase", *VICTIMS, "--url", service.admin_url, "--api-key", key]
        assert main([*words, "--json"]) == 0
        receipt = json.loads(capsys.readouterr().out)
        assert receipt["content"]["erased"]["caches"] == ["result cache: 1 answers of the tenant dropped"]
        for live in service.engine.generations.values():
            (shard,) = live.indexes.shards
            held = shard.search("default", np.eye(1, live.codec.dim, dtype=np.float32), COUNT)[1]
            assert not set(PKS) & set(held.ravel().tolist())
    assert kept(tmp_path / "data", traces) == []


def test_an_erasure_that_was_killed_at_any_point_is_finished_by_the_next_start_or_erasure(
    traces, tmp_path: Path, tiny: Bundle, tiny_folder: Path
) -> None:
    script = Path(__file__).parents[1] / "support" / "erasing.py"
    command = [sys.executable, str(script), str(tmp_path), str(tiny_folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    deaths = [json.loads(line) for line in done.stdout.splitlines()]
    for number, death in enumerate(deaths, 1):
        data = Path(death["data"])
        engine = Engine(read_settings(data), tiny, owner="the test")
        left = {item.id for item in engine.store.hydrate("default", PKS).values()}
        assert left in (set(), set(VICTIMS)), f"both or none after point {number}, {death['point']}"
        assert death["point"] is not None or not left
        assert engine.primary.indexes.stats()["default"]["vectors"] == COUNT - 2 + len(left)
        if left:
            erase(engine, "default", VICTIMS)
        elif number % 2:
            erase(engine, "default", ["crowd/3"])
        else:
            engine.close()
            engine = opened(read_settings(data), tiny)
        engine.close()
        assert kept(data, traces) == [], f"after point {number}, {death['point']}"
        shutil.rmtree(data)
    print(f"{len(deaths) - 1} points: {[death['point'] for death in deaths[:-1]]}")
    assert deaths[-1]["point"] is None and len(deaths) > 20
