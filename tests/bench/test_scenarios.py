"""Scenario files, and `bench all` over one: every run done, or named; one page at the end."""

import argparse
from pathlib import Path

import pytest

from sightline_bench.commands import all as command
from sightline_bench.results import read
from sightline_bench.scenarios.scenario import MAX_BYTES, read_scenario, shipped
from sightline_shared.cli import COMMANDS, parser_of
from sightline_shared.errors import ConfigInvalid, InputError


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", shipped())
def test_every_run_of_a_shipped_scenario_is_understood_by_its_command(name: str) -> None:
    import importlib

    scenario = read_scenario(name)
    assert scenario.about and len(scenario.runs) >= 5
    for words in scenario.runs.values():
        (found,) = [each for each in COMMANDS if each.words == ("bench", words[0])]
        parser_of(found, importlib.import_module(found.module)).parse_args([*words[1:], "--out", "x.json"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("about = 1", "a text 'about' and a table 'runs'"),
        ('about = "a"\n[runs]', "one run or more"),
        ('about = "a"\nseed = 1\n[runs]\na = ["edge"]', "the keys about and runs, got seed"),
        ('about = "a"\n[runs]\na = ["rm", "-rf"]', "expected one of .*edge.* first, got \\['rm'\\]"),
        ('about = "a"\n[runs]\na = ["all"]', "expected one of"),
        ('about = "a"\n[runs]\n"../a" = ["edge"]', "letters, digits and hyphens"),
        ('about = "a"\n[runs]\na = "edge"', "a list of words"),
        ('about = "a"\n[runs]\na = ["edge", "--out=/etc/passwd"]', "sets itself"),
        ("about", "expected TOML"),
    ],
)
def test_a_file_that_is_no_scenario_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigInvalid, match=expected):
        read_scenario(written(tmp_path, text))


def test_a_scenario_that_is_missing_or_huge_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected full, quick or a TOML file"):
        read_scenario("quickly")
    with pytest.raises(InputError, match="at most"):
        read_scenario(written(tmp_path, "#" * (MAX_BYTES + 1)))


def test_what_fails_is_named_and_the_others_are_done(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("SIGHTLINE_PACKS", raising=False)
    text = 'about = "small"\n[runs]\nsession = ["session", "--items", "6"]\npocket = ["edge", "--pocket"]\n'
    (tmp_path / "out").mkdir()
    (tmp_path / "out/pocket.json").write_text("an old result")
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    done = command.run(parser.parse_args(["--scenario", written(tmp_path, text), "--out", str(tmp_path / "out")]))
    assert not done["ok"] and [bool(row["trouble"]) for row in done["runs"]] == [False, True]
    assert "E_INPUT" in command.show(done) and not (tmp_path / "out/pocket.json").exists()
    assert read(tmp_path / "out/session.json")["scenario"]["items"] == 6
    assert "\n| " in (tmp_path / "out/session.md").read_text()
    page = Path(done["page"]).read_text()
    assert ">session</h2>" in page and "pocket" not in page


def test_a_result_that_says_that_something_is_wrong_is_kept_and_named(tmp_path: Path, monkeypatch) -> None:
    writes = (
        "import sys; from sightline_bench.results import Run, write; write(Run('network', {}).result({'ok': False}), sys.argv[-1]); "
        "print('a table'); raise SystemExit(1)"
    )
    monkeypatch.setattr(command, "CLI", writes)
    monkeypatch.setattr(command, "render", lambda results: ", ".join(results))
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    text = 'about = "small"\n[runs]\nnetwork = ["network"]\n'
    done = command.run(parser.parse_args(["--scenario", written(tmp_path, text), "--out", str(tmp_path / "out")]))
    assert not done["ok"] and "not as it should be" in done["runs"][0]["trouble"]
    assert Path(done["page"]).read_text() == "network" and (tmp_path / "out/network.md").read_text() == "a table\n"
