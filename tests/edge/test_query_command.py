"""`sightline query --where`: what is typed becomes the filter that was meant."""

import argparse

import pytest

from sightline_edge.commands.query import _term
from sightline_shared.cli import main


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("category=milk", ("category", "milk")),
        ("available=true", ("available", True)),
        ("available=false", ("available", False)),
        ("price=12", ("price", 12)),
        ("price=-1.5e3", ("price", -1500.0)),
        ('size="12"', ("size", "12")),
        ("title=a=b", ("title", "a=b")),
        ("title=", ("title", "")),
        ("title=null", ("title", "null")),
        ("title=[1]", ("title", "[1]")),
        ("title=True", ("title", "True")),
        ("title=007", ("title", "007")),
    ],
)
def test_a_value_is_read_as_the_help_says(text: str, term: tuple[str, object]) -> None:
    key, value = _term(text)
    assert (key, value) == term and type(value) is type(term[1])


@pytest.mark.parametrize("text", ["category", "=milk", ""])
def test_what_is_no_term_is_wrong_usage(text: str, capsys) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        _term(text)
    with pytest.raises(SystemExit) as stop:
        main(["query", "photo.jpg", "--where", text])
    assert stop.value.code == 2 and "expected KEY=VALUE" in capsys.readouterr().err


def test_a_number_that_is_not_finite_is_refused_by_name(tiny_folder, tmp_path, capsys) -> None:
    assert main(["query", str(tmp_path / "x.jpg"), "--bundle", str(tiny_folder), "--where", "price=1e999"]) == 1
    assert "E_FILTER_INVALID" in capsys.readouterr().err
