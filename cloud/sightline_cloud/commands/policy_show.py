"""Show a policy of sensitive subjects as the service reads it: every class, term, source and text.

Examples:
  sightline policy show
  sightline policy show --json
  sightline policy show draft/policy.toml --json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sightline_cloud.commands.common import data_dir
from sightline_cloud.policy.read import find_policy, read_policy


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", help="a policy.toml (default the data folder's, else the service's own)")
    parser.add_argument("--data", help="the data folder (default SIGHTLINE_DATA, else ./sightline-data)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    policy = read_policy(Path(args.file)) if args.file else find_policy(data_dir(args))
    return {
        "source": policy.source,
        "version": policy.version,
        "sha256": policy.digest,
        "owner": policy.owner,
        "reviewed": policy.reviewed.isoformat(),
        "review_by": policy.review_by.isoformat(),
        "head": {
            "miss_rate_upper": policy.head.miss_rate_upper,
            "code_margin": policy.head.code_margin,
            "without_head": policy.head.without_head,
        },
        "allowed_sources": list(policy.allowed_sources),
        "disclaimers": dict(policy.disclaimers),
        "nothing_found": dict(policy.nothing_found),
        "classes": [
            {
                "name": each.name,
                "head_kinds": list(each.head_kinds),
                "terms": {language: list(terms) for language, terms in each.terms.items()},
                "nothing_found": dict(each.nothing_found),
            }
            for each in policy.classes
        ],
    }


def show(result: dict[str, Any]) -> str:
    head = ", ".join(f"{name} = {value}" for name, value in result["head"].items())
    lines = [
        f"{result['source']}: version {result['version']}",
        f"  owner {result['owner']}; reviewed {result['reviewed']}, to be reviewed by {result['review_by']}",
        f"  head: {head}",
        f"  sources: {', '.join(result['allowed_sources']) or 'none'}",
    ]
    lines += [f"  disclaimer {language}: {text}" for language, text in result["disclaimers"].items()]
    for each in result["classes"]:
        lines.append(f"  {each['name']}: kinds of the head: {', '.join(each['head_kinds']) or 'none'}")
        lines += [f"    {language}: {', '.join(terms)}" for language, terms in each["terms"].items()]
        lines += [f"    nothing found, {language}: {text}" for language, text in each["nothing_found"].items()]
    return "\n".join(lines)
