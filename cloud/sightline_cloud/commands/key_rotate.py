"""Give an API key a new secret and print it. The old one is good for some hours more, so that apps can change over.

Name, tenant, scopes and limits stay. A secret of an earlier rotation that was still good ends at once. A running service
knows at its next request.

Examples:
  sightline key rotate phone-app
  sightline key rotate importer --tenant shop-2 --grace-hours 0 --json
"""

from __future__ import annotations

import argparse
from typing import Any

from sightline_cloud.commands.common import add_data_arguments, opened


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the key's name")
    parser.add_argument("--tenant", default="default", help="the key's tenant (default 'default')")
    parser.add_argument("--grace-hours", type=float, default=24, help="how long the old secret is good (default 24)")
    parser.add_argument("--days", type=int, help="the key expires so many days from now (default: as before)")
    add_data_arguments(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    with opened(args, create=False) as engine:
        key = engine.keys.rotate(args.name, tenant=args.tenant, grace_hours=args.grace_hours, days=args.days)
    return {"key": key, "name": args.name, "tenant": args.tenant, "grace_hours": args.grace_hours}


def show(result: dict[str, Any]) -> str:
    return str(result["key"])
