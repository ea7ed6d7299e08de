"""Say how much an API key may ask, in place of what the settings say for all keys; without options: as the settings say.

A request over its rate, or dearer than what is left, is answered 429 with Retry-After. A query costs its codes times the
index's shards, plus k / 20, plus its filter values / 8; an upload 20, a change 2, a pocket index 10, a look at an item 0.2.

Examples:
  sightline key limit phone-app --per-second 50 --burst 100 --max-k 20
  sightline key limit importer --tenant shop-2 --cost-per-minute 0 --json
"""

from __future__ import annotations

import argparse
from typing import Any

from sightline_cloud.commands.common import add_data_arguments, opened
from sightline_cloud.commands.limit_arguments import add_limit_arguments, in_words, limits_in


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the key's name")
    parser.add_argument("--tenant", default="default", help="the key's tenant (default 'default')")
    add_limit_arguments(parser)
    add_data_arguments(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    limits = limits_in(args)
    with opened(args, create=False) as engine:
        engine.keys.limit(args.name, limits, tenant=args.tenant)
    return {"name": args.name, "tenant": args.tenant, "limits": limits}


def show(result: dict[str, Any]) -> str:
    return f"key '{result['name']}' of tenant '{result['tenant']}' has {in_words(result['limits'])}"
