"""Check a policy of sensitive subjects: the file, its review, and whether this bundle and these settings can carry it out.

FILE is a policy.toml; without one it is the data folder's, else the one that comes with the service. It only reads. Exit
status 1 when the file is refused, its review is overdue, or with it every query would be answered restricted.

Examples:
  sightline policy check
  sightline policy check draft/policy.toml --json
  sightline policy check --data /var/lib/sightline --bundle ./shop-4
"""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path
from typing import Any

from sightline_cloud.bundles import find_bundles
from sightline_cloud.commands.common import add_data_arguments, bundle_dirs, data_dir
from sightline_cloud.policy.check import check
from sightline_cloud.policy.read import find_policy, read_policy
from sightline_cloud.settings_file import read_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", help="a policy.toml (default the data folder's, else the service's own)")
    add_data_arguments(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    settings = read_settings(data_dir(args), bundle_dirs=bundle_dirs(args) or None)
    policy = read_policy(Path(args.file)) if args.file else find_policy(settings.data_dir)
    today = datetime.datetime.now(datetime.UTC).date()
    return check(policy, find_bundles(settings.bundle_dirs), settings.filter_keys, today)


def show(result: dict[str, Any]) -> str:
    lines = [
        f"{result['source']}: version {result['version']}, owner: {result['owner']}",
        f"  reviewed {result['reviewed']}, to be reviewed by {result['review_by']}",
        f"  sources that may answer: {', '.join(result['allowed_sources']) or 'none'}",
        f"  languages: {', '.join(result['languages'])}",
        f"  {'class':<20} {'kinds of the head':<32} terms",
    ]
    lines += [
        f"  {each['name']:<20} {', '.join(each['head_kinds']) or '-':<32} {each['terms'] or '-'}"
        for each in result["classes"]
    ]
    for bundle in result["bundles"]:
        lines.append(f"  bundle {bundle['label']}: {_head(bundle)}")
    lines += [f"  problem: {text}" for text in result["problems"]] + [f"  note: {text}" for text in result["notes"]]
    return "\n".join(lines + ([] if result["problems"] else ["all is well"]))


def _head(bundle: dict[str, Any]) -> str:
    if "threshold" not in bundle:
        return str(bundle["head"])
    return (
        f"head of {', '.join(bundle['head_kinds'])}; a device's score counts from {bundle['threshold']}, a code's from "
        f"{bundle['threshold_on_codes']}; misses at most {bundle['missed_at_most']:.1%} (upper bound)"
    )
