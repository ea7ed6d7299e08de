"""Fit found, unsure and not found to a tenant's own catalogue, by photographs whose item is known.

The photographs must be ones that are not in the catalogue. 'sightline decision observe' makes the table: a row for each, with
what a device would send of it. The column named by --match says what it shows: the item's id (column 'item', the default), or what
stands under a key of the items' metadata (--match category: any item of that category is right). Leave it empty for
photographs of what the catalogue does not hold; there need not be any.

Twenty photographs of items are the least, a hundred or more are better. The result is <data>/decision/<pairing id>/<tenant>.json,
which a running service reads at its next query; remove the file to go back to the bundle's own decision.

Examples:
  sightline decision calibrate --queries asked.csv
  sightline decision calibrate --queries asked.csv --match category --tenant shop-2 --data /var/lib/sightline --json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sightline_cloud.commands.common import add_data_arguments, opened
from sightline_cloud.commands.operated import progress_bar
from sightline_cloud.operate.asked import read_asked
from sightline_cloud.operate.calibrate import ITEM, calibrate, summary, write_decision
from sightline_cloud.operate.indexes import known_tenants


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--queries", required=True, metavar="FILE", help="the table (CSV) of photographs")
    parser.add_argument("--match", default=ITEM, metavar="KEY", help=f"what makes a match right (default '{ITEM}')")
    parser.add_argument("--tenant", default="default", help="whose catalogue (default 'default')")
    add_data_arguments(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    with opened(args, create=False) as engine, progress_bar("calibrate") as progress:
        known_tenants(engine, args.tenant)
        live = engine.primary
        asked = read_asked(Path(args.queries), args.match, live.codec.code_size)
        fitted, examples = calibrate(
            engine, live, args.tenant, asked, args.match, lambda share: progress("items", share)
        )
        path = write_decision(engine.settings.data_dir, live, args.tenant, fitted)
        base = live.bundle.calibration
        assert base is not None  # calibrate raises without one
        return {
            "file": str(path),
            "tenant": args.tenant,
            "bundle": live.bundle.label,
            **summary(fitted, base, examples),
        }


def show(result: dict[str, Any]) -> str:
    return (
        f"{result['file']}: tenant '{result['tenant']}', bundle {result['bundle']}\n"
        f"  {result['known']} photographs of items: the first match is right for {result['first_right']:.1%}; the probability "
        f"said {result['probability_before']:.1%} on average, and says {result['probability_after']:.1%} now\n"
        f"  {result['other']} of other things; found from {result['found_min']:.1%}, not found below "
        f"{result['not_found_below']:.1%}"
    )
