"""Revoke an API key: the next request with it is refused.

Examples:
  sightline key revoke phone-app
  sightline key revoke importer --tenant shop-2 --json
"""

from __future__ import annotations

import argparse
from typing import Any

from sightline_cloud.commands.common import add_data_arguments, opened


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the key's name")
    parser.add_argument("--tenant", default="default", help="the key's tenant (default 'default')")
    add_data_arguments(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    with opened(args, create=False) as engine:
        engine.keys.revoke(args.name, tenant=args.tenant)
    return {"revoked": args.name, "tenant": args.tenant}


def show(result: dict[str, Any]) -> str:
    return f"key '{result['revoked']}' of tenant '{result['tenant']}' is revoked"
