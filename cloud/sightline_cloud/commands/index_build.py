"""Build the indexes from the catalogue, centroids and all, and write them as snapshots.

A service does this by itself when it finds none that fits; this command does it before it is started, or anew when the
catalogue has become another. Queries are answered by the old indexes meanwhile (--url).

Examples:
  sightline index build
  sightline index build --data /var/lib/sightline --tenant shop-2 --json
  sightline index build --url http://127.0.0.1:8766 --api-key sk_...
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
        return compact(engine, known_tenants(engine, args.tenant), retrain=True, progress=progress)

    return operated(args, "build", here)


show = show_done
