"""Write a pocket index: the head of a tenant's catalogue, which devices search without a network.

The items come from the data folder, which a running service may use meanwhile: those that are named in the file
pocket/<tenant>.ids there, one id a line, then the newest; none that says of itself 'available: false' or 'archived: true'. Ship the file with an
app, whose 'sightline pocket sync' keeps it up to date; or ship none, and let the first sync fetch it.

With several --bundle the first one's codes are written: give the one that the app ships with.

Examples:
  sightline pocket export --out pocket.slp
  sightline pocket export --data /var/lib/sightline --tenant shop-2 --items 5000 --out pocket.slp --json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sightline_cloud.commands.common import add_data_arguments, opened
from sightline_cloud.commands.operated import progress_bar
from sightline_cloud.operate.indexes import known_tenants
from sightline_cloud.pocket.head import read_head
from sightline_cloud.pocket.pockets import wanted_head
from sightline_shared import pocket_file
from sightline_shared.errors import ConfigInvalid
from sightline_shared.pocket_file import MAX_ITEMS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, metavar="FILE", help="the file to write, in place of an earlier one")
    parser.add_argument("--tenant", default="default", help="whose catalogue (default 'default')")
    parser.add_argument("--items", type=int, help="how many at most (default: the setting pocket_items)")
    add_data_arguments(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.items is not None and not 1 <= args.items <= MAX_ITEMS:
        raise ConfigInvalid(f"--items: expected 1 to {MAX_ITEMS}, got {args.items}.")
    with opened(args, create=False) as engine, progress_bar("pocket") as progress:
        known_tenants(engine, args.tenant)
        wanted = wanted_head(engine.settings, args.tenant, args.items or engine.settings.pocket_items)
        generation = engine.database.generation(engine.primary.key)
        head = read_head(engine.database, generation, wanted, lambda share: progress("items", share))
    data = head.pocket.to_bytes()
    pocket_file.write(Path(args.out), data)
    return {
        "file": args.out,
        "tenant": args.tenant,
        "pairing_id": generation.pairing_id,
        "bundle": generation.label,
        "version": head.pocket.version,
        "items": len(head.pocket.pks),
        "listed": int(head.listed.sum()),
        "bytes": len(data),
        "code_bytes": head.pocket.codes.nbytes,
    }


def show(result: dict[str, Any]) -> str:
    return (
        f"{result['file']}: {result['items']:,} items of tenant '{result['tenant']}', {result['listed']:,} of them from the "
        f"operator's list, for bundle {result['bundle']}; {result['bytes']:,} bytes, {result['code_bytes']:,} of them codes"
    )
