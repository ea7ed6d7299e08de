"""Fetch a pocket index from a service, or bring one up to date: the head of the catalogue, for searches without a network.

The file is replaced whole or not at all. What has changed since the last time is all that travels, unless that would be
more than the whole; nothing of the device travels but the version that it has. A file that is damaged, or of another
bundle, is fetched anew.

Examples:
  sightline pocket sync --file pocket.slp --url http://127.0.0.1:8765 --api-key sk_...
  SIGHTLINE_API_KEY=sk_... sightline pocket sync --file pocket.slp --json
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import asdict
from typing import Any

import httpx

from sightline_edge import exchange
from sightline_edge.commands.query import DEFAULT_URL
from sightline_edge.device import Device
from sightline_edge.pocket import PocketIndex
from sightline_edge.pocket_sync import Synced, sync
from sightline_shared import environment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--file", required=True, help="the pocket index; made when it is not there")
    parser.add_argument("--url", help=f"the service (default SIGHTLINE_URL, else {DEFAULT_URL})")
    parser.add_argument("--api-key", help="a key with the scopes 'search' and 'rerank' (default SIGHTLINE_API_KEY)")
    parser.add_argument("--bundle", help="a bundle folder (default SIGHTLINE_BUNDLE, else the SDK's own)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    url = (args.url or environment.read("SIGHTLINE_URL") or DEFAULT_URL).rstrip("/")
    index = PocketIndex.open_or_empty(args.file, Device.load(args.bundle))
    synced = asyncio.run(_sync(index, url, args.api_key or environment.read("SIGHTLINE_API_KEY")))
    return {"file": args.file, "tenant": index.tenant, "file_bytes": index.path.stat().st_size, **asdict(synced)}


async def _sync(index: PocketIndex, url: str, api_key: str | None) -> Synced:
    async with httpx.AsyncClient(headers=exchange.headers(api_key)) as http:
        return await sync(index, http, url)


def show(result: dict[str, Any]) -> str:
    did = "brought up to date" if result["changed"] else "is up to date"
    return (
        f"{result['file']} {did}: {result['items']:,} items of tenant '{result['tenant']}' in {result['file_bytes']:,} bytes; "
        f"{result['bytes_down']:,} bytes came"
    )
