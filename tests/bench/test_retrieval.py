"""The retrieval benchmark as a whole, small: processes, measurements, reports; its contenders agree where they must."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from sightline_bench.commands import retrieval
from sightline_bench.retrieval.contenders import LIMIT
from sightline_bench.retrieval.dataset import Dataset
from sightline_bench.retrieval.process import Child, built, interpreter
from sightline_shared.errors import InputError, ServiceFailed

N = 6000
OWN = ("sightline", "sightline-ssd", LIMIT)


def run(*words: str):
    parser = argparse.ArgumentParser()
    retrieval.add_arguments(parser)
    return retrieval.run(parser.parse_args(words))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("retrieval")


@pytest.fixture(scope="module")
def result(folder: Path):
    """A whole run over 6,000 vectors, every scene, with a peer that no interpreter has."""
    words = ["--n", str(N), "--queries", "100", "--rounds", "1", "--scenes", "all", "--cache", str(folder / "cache")]
    return run(
        *words,
        "--contenders",
        ",".join((*OWN, "diskann")),
        "--out",
        str(folder / "out"),
        "--raw",
        str(folder / "raw.npz"),
    )


def test_all_that_was_asked_for_is_measured(result) -> None:
    assert set(result["contenders"]) == set(OWN)
    for one in result["contenders"].values():
        assert [at["effort"] for at in one["points"]] == [4, 8, 16, 32, 64]
        assert {"batch", "cold", "memory", "settings"} <= set(one)
        assert all(at["cpu_ms"]["p50"] > 0 for at in one["points"])
    assert result["scenario"]["data"]["n"] == N and result["machine"]["cores"]


def test_what_is_not_installed_is_named_with_its_pip_line(result) -> None:
    assert list(result["not_measured"]) == ["diskann"]
    assert "pip install diskannpy" in result["not_measured"]["diskann"]


def test_sightline_answers_as_the_bare_library_on_its_lists_does(result, folder: Path) -> None:
    with np.load(folder / "raw.npz") as raw:
        for effort in (4, 8, 16, 32, 64):
            bare = raw[f"{LIMIT}@{effort}.rows"]
            for name in ("sightline", "sightline-ssd"):
                same = [len(set(a) & set(b)) / 10 for a, b in zip(raw[f"{name}@{effort}.rows"], bare, strict=True)]
                assert np.mean(same) > 0.99


def test_recall_grows_with_effort(result) -> None:
    recalls = [at["recall"]["value"] for at in result["contenders"]["sightline"]["points"]]
    assert recalls == sorted(recalls) and recalls[-1] > recalls[0] + 0.2


def test_filtered_answers_are_as_many_as_there_are(result) -> None:
    for name in ("sightline", "sightline-ssd"):
        tight = {at["matches"]: at for at in result["contenders"][name]["filtered"]}
        assert all(at["answers_short"] == 0 for at in tight.values())
        assert tight[min(tight)]["recall"]["value"] == 1


def test_changes_are_found_and_merged(result) -> None:
    changes = result["changes"]
    assert changes["delta"] == N // 20 and changes["compaction"]["delta_left"] == 0
    assert changes["delta_fill"]["items"] == changes["delta"] - changes["findable_n"]
    assert changes["same_answers_during"] > 0.9
    assert changes["findable_ms"]["p50"] < 1000


def test_json_table_and_plot_are_written(result, folder: Path) -> None:
    assert json.loads((folder / "out.json").read_text()) == json.loads(json.dumps(result))
    text = (folder / "out.md").read_text()
    assert all(f"| {name} |" in text for name in OWN) and "Not measured" in text
    assert text == retrieval.show(result)
    assert (folder / "out.png").read_bytes().startswith(b"\x89PNG")


def scaled(result, file: Path, n: int, ssd_bytes: int) -> Path:
    """Write the result as if it were of `n` vectors; return the file."""
    made = json.loads(json.dumps(result))
    made["scenario"]["data"]["n"] = n
    for one in made["contenders"].values():
        one["memory"]["ssd_bytes"] = ssd_bytes
    file.write_text(json.dumps(made))
    return file


def test_a_summary_of_three_sizes_fits_the_growth(result, folder: Path) -> None:
    files = [scaled(result, folder / f"{n}.json", n, 500 * n) for n in (N, 2 * N, 4 * N)]
    summary = run("--summary", *map(str, files), "--out", str(folder / "summary"))
    (ssd,) = (fit for fit in summary["growth"] if (fit["contender"], fit["cost"]) == ("sightline", "bytes of SSD"))
    assert ssd["largest_error"] == 0 and ssd["at_billion"] == pytest.approx(5e11, rel=1e-3)
    assert "a billion, on paper" in (folder / "summary.md").read_text()
    assert (folder / "summary.png").is_file()


def test_a_summary_counts_one_run_a_contender_and_data_set_and_takes_in_other_contenders(result, folder: Path) -> None:
    files = [scaled(result, folder / f"first-{n}.json", n, 500 * n) for n in (N, 2 * N, 4 * N)]
    for n in (N, 2 * N, 4 * N):
        again = json.loads(scaled(result, folder / f"again-{n}.json", n, 900 * n).read_text())
        again["contenders"]["another"] = again["contenders"]["sightline"]
        (folder / f"again-{n}.json").write_text(json.dumps(again))
        files.append(folder / f"again-{n}.json")
    growth = run("--summary", *map(str, files))["growth"]
    at_billion = {fit["contender"]: fit["at_billion"] for fit in growth if fit["cost"] == "bytes of SSD"}
    assert at_billion["sightline"] == pytest.approx(5e11, rel=1e-3)
    assert at_billion["another"] == pytest.approx(9e11, rel=1e-3)


@pytest.mark.parametrize(
    "words",
    [
        ["--n", "10"],
        ["--contenders", "sightline,nonsense"],
        ["--scenes", "warm"],
        ["--rounds", "0"],
        ["--build-limit-s", "0"],
    ],
)
def test_wrong_arguments_are_refused(words: list[str]) -> None:
    with pytest.raises(InputError, match="expected"):
        run(*words)


def test_a_process_that_fails_or_dies_says_so(result, folder: Path) -> None:
    dataset = Dataset(folder / "cache" / f"synthetic-{N}")
    with Child(LIMIT, sys.executable, dataset, folder / "nowhere") as child:
        with pytest.raises(ServiceFailed, match="'open' failed"):
            child.ask("open")
        assert child.ask("about")["settings"]
    with (
        Child("diskann", sys.executable, dataset, folder) as child,
        pytest.raises(ServiceFailed, match=r"(?s)ended at 'about'.*diskannpy"),
    ):
        child.ask("about")


def test_a_process_that_takes_too_long_is_ended(result, folder: Path) -> None:
    dataset = Dataset(folder / "cache" / f"synthetic-{N}")
    late = "was ended at 'about', without an answer after 0 s"
    with Child(LIMIT, sys.executable, dataset, folder) as child, pytest.raises(ServiceFailed, match=late):
        child.ask("about", limit_s=0.0)


def test_a_build_that_takes_too_long_is_given_up_and_begun_anew_later(result, folder: Path, tmp_path: Path) -> None:
    dataset = Dataset(folder / "cache" / f"synthetic-{N}")
    with pytest.raises(ServiceFailed, match="was ended at 'build', without an answer after 0 s"):
        built("faiss-rabitq", sys.executable, dataset, tmp_path, 1, limit_s=0.0)
    made, cost = built("faiss-rabitq", sys.executable, dataset, tmp_path, 1, limit_s=600.0)
    assert (made / "index.faiss").is_file()
    assert cost["cpu_s"] > 0 and cost["peak_resident_bytes"] > cost["peak_anonymous_bytes"]


def test_a_contender_that_fails_is_named_and_the_others_are_measured(folder: Path, result) -> None:
    broken = folder / "cache" / "built" / f"synthetic-{N}" / "sightline-pq64"
    broken.mkdir()
    broken.with_suffix(".json").write_text("{}")
    words = ["--n", str(N), "--queries", "20", "--rounds", "1", "--scenes", "none", "--cache", str(folder / "cache")]
    measured = run(*words, "--contenders", f"sightline-pq64,{LIMIT}")
    assert list(measured["contenders"]) == [LIMIT]
    assert "'open' failed" in measured["not_measured"]["sightline-pq64"]


def test_no_interpreter_is_found_for_what_none_has() -> None:
    assert interpreter("diskann", [sys.executable, "/nowhere/python"]) is None
    assert interpreter("sightline", ["/nowhere/python", sys.executable]) == sys.executable
