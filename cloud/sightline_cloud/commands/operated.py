"""What the operator's commands share: done here, on a data folder that nobody else works on, or by a running service."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from rich.console import Console
from rich.progress import Progress as Bar

from sightline_cloud.commands.common import add_data_arguments, opened
from sightline_cloud.engine import Engine
from sightline_cloud.operate.indexes import Progress
from sightline_shared import environment
from sightline_shared.errors import ConfigInvalid, ServiceFailed, ServiceUnreachable, from_dict

# A service answers when it is done, and a build takes minutes.
PATIENCE = httpx.Timeout(10, read=None)
OTHER_PORT = "Give the URL that 'sightline serve' prints for operators: by default the port after the public one."
Report = dict[str, Any]


def add_operator_arguments(parser: argparse.ArgumentParser, *, tenant: str) -> None:
    """Add --tenant, `tenant` being whose it is without it, --data, --bundle, --url and --api-key."""
    parser.add_argument("--tenant", help=f"whose (default {tenant}); with --url it is the key's")
    add_data_arguments(parser)
    add_service_arguments(parser)


def add_service_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --url and --api-key."""
    parser.add_argument(
        "--url", help="have the running service do it, in place of --data: the URL of its operators' port"
    )
    parser.add_argument("--api-key", help="with --url: a key with the scope 'admin' (default SIGHTLINE_API_KEY)")


def operated(
    args: argparse.Namespace, verb: str, here: Callable[[Engine, Progress], Report], body: Report | None = None
) -> Report:
    """Return what the service at --url answers to `verb`, or what `here` returns for the opened data folder.

    Raises what either raises; StoreUnavailable while a service runs on the folder.
    """
    with progress_bar(verb) as progress:
        if args.url:
            return asked(args, "POST", verb, body)
        with opened(args, create=False, owner=f"'sightline index {verb}'") as engine:
            return here(engine, progress)


def asked(args: argparse.Namespace, method: str, verb: str, body: Report | None = None) -> Report:
    """Return what the service answers; raises its own error, ServiceUnreachable, ServiceFailed, ConfigInvalid."""
    if getattr(args, "tenant", None):
        raise ConfigInvalid("--tenant: expected none with --url, since the key names the tenant.")
    key = args.api_key or environment.read("SIGHTLINE_API_KEY")
    headers = {"accept": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
    url = f"{args.url.rstrip('/')}/v1/admin/{verb}"
    try:
        response = httpx.request(method, url, json=body, headers=headers, timeout=PATIENCE)
        answer = response.json()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServiceUnreachable(f"{args.url}: {error or type(error).__name__}.") from error
    except ValueError as error:
        raise ServiceFailed(f"{url}: expected JSON, got HTTP {response.status_code} with something else.") from error
    if response.status_code == 404:
        raise ServiceFailed(f"{url}: expected an operators' port, got one that is none.", hint=OTHER_PORT)
    if response.status_code != 200 or not isinstance(answer, dict):
        fields = answer if isinstance(answer, dict) else {}
        raise from_dict({key: text for key, text in fields.items() if isinstance(text, str)})
    return answer


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """Show a bar on stderr that moves by itself until it is told how far the work is."""
    with Bar(console=Console(stderr=True)) as bar:
        step = bar.add_task(title, total=None)
        yield lambda stage, share: bar.update(step, description=stage, total=1.0, completed=share)


def show_done(result: Report) -> str:
    """Return a line for each index that something was done to."""
    return "\n".join(show_index(line) for line in result["done"]) or "nothing to do: no tenant has items"


def show_index(line: Report) -> str:
    """Return one index's figures in words."""
    vectors = line["vectors"]
    text = f"{line['tenant']}, {line['bundle']} ({line['generation']}), shard {line['shard']}: {line['kind']}, {vectors:,} vectors"
    sizes = [f"{line[f'{kind}_bytes']:,} bytes {where}" for kind, where in (("ram", "in RAM"), ("ssd", "on SSD"))]
    text += f", {' and '.join(sizes)}"
    if vectors:
        text += f" ({line['ram_bytes'] / vectors:.1f} and {line['ssd_bytes'] / vectors:.1f} a vector)"
    if "lists" in line:
        text += f", {line['lists_in_ram']:,} of {line['lists']:,} lists in RAM, {line['delta']:,} in the delta"
    text += f", {line['tombstones']:,} tombstones"
    text += f", snapshot {line['snapshot']}" if "snapshot" in line else ""
    return text + (f", {line['seconds']:.1f} s" if "seconds" in line else "")
