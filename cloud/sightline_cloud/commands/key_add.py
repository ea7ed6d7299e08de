"""Make an API key and print it. It is stored hashed and cannot be shown again.

Scopes: 'search' asks; 'rerank' also gets the items' codes, for re-ranking on the device; 'write' changes the catalogue;
'admin' has the tenant's indexes built, compacted, rolled back and its items erased ('sightline index ... --url').

Examples:
  sightline key add phone-app --scopes search,rerank
  sightline key add importer --tenant shop-2 --scopes write --json
  sightline key add operator --scopes admin
  sightline key add trial --scopes search --days 30 --per-second 5 --max-k 10
"""

from __future__ import annotations

import argparse
from typing import Any

from sightline_cloud.commands.common import add_data_arguments, opened
from sightline_cloud.commands.limit_arguments import add_limit_arguments, limits_in
from sightline_cloud.tenancy.auth import DEFAULT_SCOPES, SCOPES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="what the key is for")
    parser.add_argument("--tenant", default="default", help="whose catalogue it opens (default 'default')")
    chosen = ",".join(DEFAULT_SCOPES)
    parser.add_argument("--scopes", default=chosen, help=f"some of {','.join(SCOPES)} (default {chosen})")
    parser.add_argument("--days", type=int, help="the key expires so many days from now (default never)")
    add_limit_arguments(parser)
    add_data_arguments(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    scopes = tuple(scope for scope in args.scopes.split(",") if scope)
    with opened(args) as engine:
        key = engine.keys.add(args.name, tenant=args.tenant, scopes=scopes, days=args.days, limits=limits_in(args))
    return {"key": key, "name": args.name, "tenant": args.tenant, "scopes": list(scopes)}


def show(result: dict[str, Any]) -> str:
    return str(result["key"])
