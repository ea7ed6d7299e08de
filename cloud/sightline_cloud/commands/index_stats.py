"""Show what the data folder holds: items by tenant, how many each generation can find, snapshots.

It only reads, and may run beside a service. With --url the service itself shows what its live indexes of the key's tenant
hold and do: vectors, bytes a vector in RAM and on SSD, how often queries met either tier, delta, tombstones, the result cache.

Examples:
  sightline index stats
  sightline index stats --data /var/lib/sightline --json
  sightline index stats --url http://127.0.0.1:8766 --api-key sk_...
"""

from __future__ import annotations

import argparse
from typing import Any

from sightline_cloud.commands.common import add_data_arguments, opened
from sightline_cloud.commands.operated import add_service_arguments, asked, show_index
from sightline_cloud.operate.report import on_disk


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser)
    add_service_arguments(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.url:
        return asked(args, "GET", "stats")
    with opened(args, create=False) as engine:
        return on_disk(engine)


def show(result: dict[str, Any]) -> str:
    return "\n".join(_live(result) if "indexes" in result else _disk(result))


def _disk(result: dict[str, Any]) -> list[str]:
    lines = [f"{result['data']}: bundle {result['bundle']}, pairing {result['pairing_id']}"]
    lines += [f"  tenant {tenant:<20} {count:>10,} items" for tenant, count in sorted(result["tenants"].items())]
    lines += [] if result["tenants"] else ["  no items yet; 'sightline index add' brings some"]
    for kind in result["generations"]:
        closed = "" if kind["open"] else "; its bundle is not given here"
        lines.append(
            f"  generation {kind['pairing_id']} ({kind['label']}): {kind['items']:,} vectors of {kind['dim']} numbers, "
            f"{kind['missing']:,} items without{closed}"
        )
    lines += [_snapshot(line) for line in result["snapshots"]]
    lines.append(f"  {result['database_bytes']:,} bytes on disk; {result['code_bytes']} bytes a code")
    return lines


def _snapshot(line: dict[str, Any]) -> str:
    place = f"  snapshot {line['name']} of {line['generation']}, shard {line['shard']}"
    if "damaged" in line:
        return f"{place}: damaged; {line['damaged']}"
    return (
        f"{place}, tenant {line['tenant']}: {line['vectors']:,} vectors at change {line['change']:,}, {line['coder']}, "
        f"{line['ssd_bytes']:,} bytes ({line['ssd_bytes_a_vector']} a vector), {line['created']}"
        + (", answers" if line["answers"] else "")
    )


def _live(result: dict[str, Any]) -> list[str]:
    lines = [f"tenant {result['tenant']}"]
    for line in result["indexes"]:
        lines.append("  " + show_index(line))
        if "ram_probes" in line:
            lines.append(f"    lists searched: {line['ram_probes']:,} in RAM, {line['ssd_probes']:,} on SSD")
    lines += [] if result["indexes"] else ["  no items yet"]
    lines += [
        "  " + ", ".join(f"{name} {value}" for name, value in result[part].items())
        for part in ("cache", "housekeeping")
    ]
    lines.append(f"  degrade ladder: {result['step']}; policy {result['policy']}")
    return lines + [f"  trouble: {text}" for text in result["trouble"]]
