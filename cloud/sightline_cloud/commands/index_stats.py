"""Show what the catalogue holds.

Examples:
  sightline index stats
  sightline index stats --data /var/lib/sightline --json
"""

from __future__ import annotations

import argparse
from typing import Any

from sightline_cloud.commands.common import add_data_arguments, opened


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    with opened(args, create=False) as engine:
        database = engine.settings.database
        return {
            "data": str(engine.settings.data_dir),
            "bundle": engine.bundle.label,
            "pairing_id": engine.pairing_id.hex(),
            "tenants": engine.store.counts(),
            "database_bytes": database.stat().st_size,
            "code_bytes": engine.codec.code_size,
        }


def show(result: dict[str, Any]) -> str:
    lines = [f"{result['data']}: bundle {result['bundle']}, pairing {result['pairing_id']}"]
    lines += [f"  tenant {tenant:<20} {count:>10,} items" for tenant, count in sorted(result["tenants"].items())]
    lines += [] if result["tenants"] else ["  no items yet; 'sightline index add' brings some"]
    lines.append(f"  {result['database_bytes']:,} bytes on disk; {result['code_bytes']} bytes a code")
    return "\n".join(lines)
