"""`bench load` as a whole, small: the real service and the plain handler in processes of their own, over one catalogue."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from sightline_bench.commands import load
from sightline_bench.load import session
from sightline_bench.load.session import PLAIN, SERVICE
from sightline_shared.cli import main
from sightline_shared.errors import InputError

WORDS = ("bench", "load", "--quick", "--items", "300", "--queries", "30", "--rates", "10,25", "--seconds", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("load")


@pytest.fixture(scope="module")
def result(folder: Path) -> dict:
    """A whole run of two rates and a short overload."""
    short = dataclasses.replace(load.QUICK, overload_seconds=(1.0, 1.0, 3.0))
    words = [*WORDS, "--overload-seconds", "1", "--cache", str(folder / "cache")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load, "QUICK", short)
        patch.setattr(session, "SETTLE_S", 3.0)  # a busy machine may keep the service degraded
        assert main([*words, "--out", str(folder / "out"), "--raw", str(folder / "raw.npz")]) == 0
    return json.loads((folder / "out.json").read_text())


def test_every_request_is_answered_or_accounted_for(result: dict) -> None:
    for name in (SERVICE, PLAIN):
        rows = [*result["tables"][name], *(result["overload"][name][part] for part in ("before", "during", "after"))]
        for row in rows:
            assert sum(row["shares"].values()) == pytest.approx(1, abs=1e-4) and row["n"] > 0
            # Whatever the machine does meanwhile, nothing breaks and nothing is malformed.
            assert row["shares"]["error"] == 0 and row["troubles"] == {}


def test_both_servers_get_the_same_schedule(result: dict) -> None:
    own, other = result["tables"][SERVICE], result["tables"][PLAIN]
    assert [row["rate"] for row in own] == [10, 25] == [row["rate"] for row in other]
    assert [row["n"] for row in own] == [row["n"] for row in other]


def test_both_search_the_same_index(result: dict) -> None:
    assert result["same_first_match"] is None or result["same_first_match"] > 0.9
    assert sum(result["decisions"].values()) == result["queries"]
    assert result["index"]["vectors"] == 300 and result["queries"] + result["restricted_left_out"] == 30


def test_bytes_and_cpu_are_counted(result: dict) -> None:
    for name in (SERVICE, PLAIN):
        assert 128 < result["request_bytes"][name] < 600
        assert all(row["answer_bytes"] > 1000 and row["server_cpu_ms"] > 0 for row in result["tables"][name])
        assert result["one_at_a_time_ms"][name]["p50"] > 0
        assert all(row["generator"]["cpu_us"] > 0 for row in result["tables"][name])
    assert result["bare_index"]["n"] > 0 and result["bare_index"]["cpu_ms"]["p50"] > 0
    assert result["idle_cpu_ms_per_s"][SERVICE] >= 0


def test_an_overload_has_its_timeline(result: dict) -> None:
    for name in (SERVICE, PLAIN):
        told = result["overload"][name]
        assert told["seconds"] == {"before": 1.0, "during": 1.0, "after": 3.0} and len(told["timeline"]) == 10
        assert told["per_second"]["during"] == 4 * told["per_second"]["before and after"]
        assert sum(row["n"] for row in told["timeline"]) == sum(told[p]["n"] for p in ("before", "during", "after"))


def test_json_table_picture_and_raw_samples_are_written(result: dict, folder: Path) -> None:
    text = (folder / "out.md").read_text()
    assert text == load.show(result) and "plain FastAPI" in text and "knee" in text
    assert (folder / "out.png").read_bytes().startswith(b"\x89PNG")
    with np.load(folder / "raw.npz") as raw:
        assert len(raw["sightline-25.0-0.ms"]) == result["tables"][SERVICE][1]["n"]
        assert len(raw["overload-plain.due"]) == sum(row["n"] for row in result["overload"][PLAIN]["timeline"])
    assert result["machine"]["cores"] and result["scenario"]["plan"]["seed"] == 0


@pytest.mark.parametrize(
    "words",
    [
        ["--items", "10"],
        ["--queries", "5"],
        ["--queries", "100000"],
        ["--rates", "fast"],
        ["--rates", "0,10"],
        ["--seconds", "0.1"],
        ["--rounds", "0"],
        ["--seed", "-1"],
        ["--deadline-ms", "0"],
        ["--overload-seconds", "0.5"],
    ],
)
def test_what_cannot_be_measured_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "load", "--quick", *words]) == 1
    assert InputError.code in capsys.readouterr().err


def test_what_batches_would_save_is_measured_on_the_index_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "bench",
        "load",
        "--batches",
        "--quick",
        "--items",
        "2000",
        "--cache",
        str(tmp_path),
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(words) == 0
    result = json.loads((tmp_path / "out.json").read_text())
    for figures in result["cpu_us"].values():
        assert list(figures) == ["1", "2", "4", "8", "16"] and all(one["us"] > 0 for one in figures.values())
        assert figures["1"]["ratio"]["value"] == 1
    assert (tmp_path / "out.md").read_text() == capsys.readouterr().out.removesuffix("\n")
    assert len(result["samples"]["search, 4 a call, us"]) == result["scenario"]["rounds"]
