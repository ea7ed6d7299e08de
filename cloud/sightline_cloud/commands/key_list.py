"""List the API keys, without their secrets.

Examples:
  sightline key list
  sightline key list --data /var/lib/sightline --json
"""

from __future__ import annotations

import argparse
from typing import Any

from sightline_cloud.commands.common import add_data_arguments, opened


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    with opened(args, create=False) as engine:
        return {"keys": engine.keys.list()}


def show(result: dict[str, Any]) -> str:
    rows = [
        f"{key['tenant']:<16} {key['name']:<20} {key['scopes']:<22} made {key['created']}"
        + (f", revoked {key['revoked']}" if key["revoked"] else "")
        for key in result["keys"]
    ]
    return "\n".join(rows or ["no keys yet; 'sightline key add' makes one"])
