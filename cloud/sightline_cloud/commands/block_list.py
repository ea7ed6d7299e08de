"""List the pictures that nobody may upload.

Examples:
  sightline block list
  sightline block list --data /var/lib/sightline --json
"""

from __future__ import annotations

import argparse
from typing import Any

from sightline_cloud.commands.common import add_data_arguments, opened


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    with opened(args, create=False) as engine:
        return {"blocked": engine.blocked.list()}


def show(result: dict[str, Any]) -> str:
    rows = [f"{row['number']:>5}  {row['hash']}  {row['created']}  {row['label']}" for row in result["blocked"]]
    return "\n".join(rows or ["no blocked pictures"])
