"""A folder of results, each read once, and the line that says where a table comes from."""

from __future__ import annotations

from pathlib import Path

from sightline_bench.results import Result, read

# What a scenario calls the size of its sample.
COUNTS = ("n", "queries", "items", "photos", "scenes")


class Shelf:
    """The results of a folder by the names of their files, without `.json`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, Result] = {}

    def __contains__(self, name: str) -> bool:
        return self._path(name).exists()

    def __getitem__(self, name: str) -> Result:
        """Return the result; raises InputError when there is none, or it is none."""
        if name not in self._read:
            self._read[name] = read(self._path(name))
        return self._read[name]

    def source(self, *names: str, about: str = "") -> str:
        """Return the lines below a table: of each result its file, data, command, date and git revision."""
        said = [self._said(name) for name in names]
        return "*" + " ".join([*said, *([about] if about else [])]) + "*"

    def _said(self, name: str) -> str:
        result = self[name]
        ran = [_data(result), f"`{result['command']}`" if "command" in result else ""]
        ran += [result["machine"]["time"][:10], f"git {result['machine']['git']}"]
        return f"`results/{name}.json`: {'; '.join(part for part in ran if part)}."

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def _data(result: Result) -> str:
    scenario = result["scenario"]
    data = scenario.get("data")
    if isinstance(data, dict):
        return f"{data['n']:,} vectors, {data.get('source_kind', data['source'])}; n {scenario.get('queries', data['queries']):,}"
    source = [str(scenario["source"]).removesuffix(", every 1. query")] if "source" in scenario else []
    return ", ".join(
        [*source, *(f"{name} {scenario[name]:,}" for name in COUNTS if isinstance(scenario.get(name), int))]
    )
