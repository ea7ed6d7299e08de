"""Where a run may write is known before it runs: every command refuses what cannot be written."""

import argparse
import importlib
from pathlib import Path

import pytest

from sightline_bench.out import BESIDE, out_file, out_folder, out_prefix
from sightline_shared.cli import COMMANDS, main
from sightline_shared.errors import InputError

MEASURING = [command for command in COMMANDS if command.words[0] == "bench"]


def out_of(module: str) -> argparse.Action | None:
    parser = argparse.ArgumentParser()
    importlib.import_module(module).add_arguments(parser)
    return next((action for action in parser._actions if "--out" in action.option_strings), None)


def test_every_benchmark_checks_its_file_where_the_option_is_read() -> None:
    outs = {command.words[1]: action for command in MEASURING if (action := out_of(command.module))}
    assert len(outs) >= 13
    assert {name for name, action in outs.items() if action.type not in (out_file, out_prefix)} == {"all"}


@pytest.mark.parametrize(
    "words",
    [["edge"], ["network"], ["load"], ["retrieval", "--summary", "none.json"], ["report", "none.json"]],
    ids=lambda words: words[0],
)
def test_a_file_in_a_folder_that_is_not_there_is_refused_before_the_run(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(f"sightline_bench.commands.{words[0]}")
    monkeypatch.setattr(module, "run", lambda args: pytest.fail("it ran"))
    assert main(["bench", *words, "--out", str(tmp_path / "gone" / "a.json")]) == 1
    assert "error [E_INPUT]" in (said := capsys.readouterr().err) and "in a folder that is there" in said


def test_what_is_a_folder_or_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name, expected in (
        (tmp_path, "got a folder"),
        ("", "got a folder"),
        (tmp_path / "file" / "a.json", "Not a directory"),
        (tmp_path / ("a" * 300), "too long"),
    ):
        with pytest.raises(InputError, match=expected):
            out_file(str(name))
    assert out_file(str(tmp_path / "file")) == str(tmp_path / "file")
    assert out_file("new.json") == "new.json" and not Path("new.json").exists()


def test_what_may_not_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("os.access", lambda path, mode: asked.append(path))  # root may write everywhere
    (tmp_path / "old.json").write_text("")
    for name in ("old.json", "new.json"):
        with pytest.raises(InputError, match="can be written"):
            out_file(str(tmp_path / name))
    assert asked == [tmp_path / "old.json", tmp_path]


@pytest.mark.parametrize("suffix", BESIDE)
def test_a_prefix_is_refused_for_any_file_that_cannot_be_written(suffix: str, tmp_path: Path) -> None:
    (tmp_path / "load").mkdir()
    assert out_prefix(str(tmp_path / "load")) == str(tmp_path / "load"), "load.json is beside the folder"
    (tmp_path / f"load{suffix}").mkdir()
    for given in ("load", "load.json"):
        with pytest.raises(InputError, match="got a folder"):
            out_prefix(str(tmp_path / given))


def test_a_folder_is_made_or_refused(tmp_path: Path) -> None:
    assert out_folder(str(tmp_path / "a" / "b")).is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="File exists"):
        out_folder(str(tmp_path / "file"))
