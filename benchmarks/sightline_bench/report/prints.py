"""What a benchmark's own command prints, as HTML: headings, tables, lists and paragraphs, with every character escaped."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from itertools import groupby

from markupsafe import Markup, escape

from sightline_bench.results import Result
from sightline_shared.cli import COMMANDS, Command

RULE = re.compile(r"^\|[\s|:-]+\|$")
MARKS = ((re.compile(r"\*\*(.+?)\*\*"), r"<strong>\1</strong>"), (re.compile(r"`([^`]+)`"), r"<code>\1</code>"))

CELLS = {"th": Markup("<th>{}</th>"), "td": Markup("<td>{}</td>")}


def command_of(result: Result) -> Command | None:
    """Return the command that makes such results: the first word of "load batches" or "edge --pocket" names it."""
    words = ("bench", result["benchmark"].split(" ")[0])
    return next((command for command in COMMANDS if command.words == words), None)


def printed(result: Result) -> Markup | None:
    """Return what the command prints of the result; None where it is of another version, which has other figures."""
    command = command_of(result)
    if command is None:
        return None
    try:
        return as_html(importlib.import_module(command.module).show(result))
    except (LookupError, StopIteration, TypeError, AttributeError):
        return None


def as_html(text: str) -> Markup:
    """Return the Markdown that our commands print, as HTML."""
    return Markup("\n").join(_blocks(text))


def _blocks(text: str) -> Iterator[Markup]:
    for kind, grouped in groupby(text.splitlines(), _kind):
        lines = list(grouped)
        if kind == "table":
            yield _table(lines)
        elif kind == "heading":
            yield from (Markup("<h3>{}</h3>").format(_inline(line.lstrip("# "))) for line in lines)
        elif kind == "item":
            items = Markup("").join(Markup("<li>{}</li>").format(_inline(line[2:])) for line in lines)
            yield Markup("<ul>{}</ul>").format(items)
        elif kind == "text":
            yield Markup("<p>{}</p>").format(Markup("<br>").join(map(_inline, lines)))


def _kind(line: str) -> str:
    if not line.strip():
        return "nothing"
    starts = {"|": "table", "#": "heading"}
    return "item" if line.startswith("- ") else starts.get(line[0], "text")


def _table(lines: list[str]) -> Markup:
    """Return tables: a head stands above each rule, so two may follow each other without an empty line."""
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    heads = {place - 1 for place, line in enumerate(lines) if RULE.match(line)}
    html = Markup("").join(
        _row(row, "th" if place in heads else "td") for place, row in enumerate(rows) if not RULE.match(lines[place])
    )
    return Markup('<div class="wide"><table>{}</table></div>').format(html)


def _row(cells: list[str], tag: str) -> Markup:
    inside = Markup("").join(CELLS[tag].format(_inline(cell)) for cell in cells)
    return Markup("<tr>{}</tr>").format(inside)


def _inline(text: str) -> Markup:
    html = str(escape(text))
    for mark, tag in MARKS:
        html = mark.sub(tag, html)
    return Markup(html)  # noqa: S704  escaped above; the marks add tags of ours only
