"""Merge delta and tombstones into the indexes: searches become faster again, and removed items leave the files.

A service does this by itself when a share of the items has changed (`compact_share` in settings.toml). Queries are answered
by the old indexes meanwhile (--url).

Examples:
  sightline index compact
  sightline index compact --url http://127.0.0.1:8766 --api-key sk_... --json
"""

from __future__ import annotations

import argparse
from typing import Any

from sightline_cloud.commands.operated import add_operator_arguments, operated, show_done
from sightline_cloud.engine import Engine
from sightline_cloud.operate.indexes import Progress, compact, known_tenants


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_operator_arguments(parser, tenant="every tenant")


def run(args: argparse.Namespace) -> dict[str, Any]:
    def here(engine: Engine, progress: Progress) -> dict[str, Any]:
        return compact(engine, known_tenants(engine, args.tenant), progress=progress)

    return operated(args, "compact", here)


show = show_done
