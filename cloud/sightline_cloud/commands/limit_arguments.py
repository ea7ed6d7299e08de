"""The options by which a key gets limits of its own."""

from __future__ import annotations

import argparse
from typing import Any

OPTIONS: tuple[tuple[str, type, str], ...] = (
    ("per_second", float, "requests a second, 0 for no limit"),
    ("burst", int, "how many of them may come at once"),
    ("cost_per_minute", float, "cost units a minute, 0 for no limit; one code searched in one shard costs 1"),
    ("max_k", int, "matches a query"),
    ("max_codes", int, "codes a query"),
    ("max_filter_values", int, "filter values a query, 0 for no filters"),
)


def add_limit_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an option for each limit."""
    for name, kind, text in OPTIONS:
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=kind, metavar="N", help=f"{text} (default settings.toml's)"
        )


def limits_in(args: argparse.Namespace) -> dict[str, Any]:
    """Return the limits that were given."""
    return {name: value for name, _, _ in OPTIONS if (value := getattr(args, name)) is not None}


def in_words(limits: dict[str, Any]) -> str:
    """Return limits as one line."""
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in limits.items()) or "the settings' limits"
