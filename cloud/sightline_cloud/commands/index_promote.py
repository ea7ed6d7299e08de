"""Put the lists that queries ask for most into RAM, within the budget (`index_ram_bytes` in settings.toml).

A service does this by itself as the queries change; --url has it done now. Without a service this says what one that is
started now would hold in RAM, by what was asked of the last one: for choosing a budget.

Examples:
  sightline index promote --url http://127.0.0.1:8766 --api-key sk_...
  sightline index promote --data /var/lib/sightline --json
"""

from __future__ import annotations

import argparse
from typing import Any

from sightline_cloud.commands.operated import add_operator_arguments, operated, show_done
from sightline_cloud.operate.indexes import known_tenants, promote


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_operator_arguments(parser, tenant="every tenant")


def run(args: argparse.Namespace) -> dict[str, Any]:
    return operated(args, "promote", lambda engine, _: promote(engine, known_tenants(engine, args.tenant)))


def show(result: dict[str, Any]) -> str:
    budget = result["budget_bytes"]
    said = "no budget: everything is in RAM" if budget is None else f"budget of {budget:,} bytes of RAM"
    return f"{said}\n{show_done(result)}"
