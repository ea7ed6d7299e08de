"""List the API keys, without their secrets: scopes, limits of their own, when they expire and when they were last used.

A running service stores the minute of the last use once a minute.

Examples:
  sightline key list
  sightline key list --data /var/lib/sightline --json
"""

from __future__ import annotations

import argparse
from typing import Any

from sightline_cloud.commands.common import add_data_arguments, opened
from sightline_cloud.commands.limit_arguments import in_words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    with opened(args, create=False) as engine:
        return {"keys": engine.keys.list()}


def show(result: dict[str, Any]) -> str:
    rows = [
        f"{key['tenant']:<16} {key['name']:<20} {key['scopes']:<22} made {key['created']}" + _more(key)
        for key in result["keys"]
    ]
    return "\n".join(rows or ["no keys yet; 'sightline key add' makes one"])


def _more(key: dict[str, Any]) -> str:
    times = {"used": "last used", "expires": "expires", "previous_until": "old secret until", "revoked": "revoked"}
    told = [f", {words} {key[name]}" for name, words in times.items() if key[name]]
    return "".join([*told, f", {in_words(key['limits'])}" if key["limits"] else ""])
