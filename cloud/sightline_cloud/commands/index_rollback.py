"""Have the snapshots before the ones that answer answer, with all changes since: nothing that was acknowledged is lost.

For an index whose last build has turned out worse. Only large tenants (`ivf_min_vectors`) have snapshots.

Examples:
  sightline index rollback --tenant shop-2
  sightline index rollback --url http://127.0.0.1:8766 --api-key sk_... --json
"""

from __future__ import annotations

import argparse
from typing import Any

from sightline_cloud.commands.operated import add_operator_arguments, operated, show_done
from sightline_cloud.operate.indexes import rollback


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_operator_arguments(parser, tenant="'default'")


def run(args: argparse.Namespace) -> dict[str, Any]:
    return operated(args, "rollback", lambda engine, _: rollback(engine, args.tenant or "default"))


show = show_done
