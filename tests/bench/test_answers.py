"""`bench answers`: the table is whole, says which back end it is from, and warns of a proxy that was late."""

import json
from pathlib import Path

import pytest

from sightline_bench.commands import answers
from sightline_bench.netsim.proxy import ABOUT
from sightline_shared.cli import main


def test_the_command_shows_first_and_final_answers(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.delenv("SIGHTLINE_PACKS", raising=False)
    out = tmp_path / "answers.json"
    words = ["bench", "answers", "--queries", "2", "--profiles", "edge, lte-ucc", "--out", str(out)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert ABOUT in said and "EDGE" in said and "offline" in said
    result = json.loads(out.read_text())
    assert result["back_end"] == "proxy" == result["scenario"]["back_end"]
    networks = result["networks"]
    assert list(networks) == ["EDGE (WebPageTest)", "LTE that loses (UCC, Ireland 2020)", "offline"]
    assert networks["offline"]["service_did_not_answer"] == 2 == networks["offline"]["first_from_the_device"]
    first, final = (result["samples"][f"EDGE (WebPageTest): {part}"] for part in ("first_ms", "final_ms"))
    assert min(final) >= 840 and all(one <= last for one, last in zip(first, final, strict=True))


@pytest.mark.parametrize(
    "words", [["--queries", "0"], ["--seed", "-1"], ["--profiles", "lte,nonsense"], ["--profiles", ""]]
)
def test_what_cannot_be_measured_is_refused(words: list[str], capsys) -> None:
    assert main(["bench", "answers", *words]) == 1
    assert "expected" in capsys.readouterr().err


def test_a_network_whose_proxy_was_late_is_named() -> None:
    row = {
        "n": 2,
        "first_ms": {"p50": 8.0},
        "final_ms": {"p50": 80.0},
        "first_from_the_device": 2,
        "service_did_not_answer": 0,
    }
    result = {
        "scenario": {"source": "a test"},
        "machine": {"cpu": "none", "load_1m": 0},
        "load_after": 0,
        "about": ABOUT,
        "networks": {
            "good": {**row, "late_p99_ms": 0.4, "in_time": True},
            "bad": {**row, "late_p99_ms": 5.2, "in_time": False},
            "offline": row,
        },
    }
    said = answers.show(result)
    assert "the machine's as well: bad." in said and "**5.2**" in said and "| 0.4 |" in said
    del result["networks"]["bad"]
    assert "the machine's as well" not in answers.show(result)
