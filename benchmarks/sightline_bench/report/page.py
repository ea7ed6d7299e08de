"""The page: self-contained, every string from a result escaped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import jinja2

from sightline_bench.report.sections import section
from sightline_bench.results import Result


def render(results: Mapping[str, Result]) -> str:
    """Return one HTML page with a section for each result, by the names of their files."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    sections = [section(name, result) for name, result in results.items()]
    return environment.get_template("page.html.j2").render(sections=sections)
