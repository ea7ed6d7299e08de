"""The command `sightline noun verb`: finds the one command asked for, runs it, prints what it returns.

A command is a module with `add_arguments(parser)`, `run(args)` returning JSON-able data, and `show(result)` returning
the text for people. Data goes to stdout (`--json`, or the text), progress and errors to stderr. Exit status: 0 done,
1 the command failed or found a fault, 2 wrong usage or a missing extra, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from sightline_shared import __version__, environment
from sightline_shared.errors import ExtraMissing, SightlineError


@dataclass(frozen=True)
class Command:
    """Where a command lives: words on the command line, module, the extra it needs ('' for none), one line."""

    words: tuple[str, ...]
    module: str
    extra: str
    summary: str


COMMANDS: tuple[Command, ...] = (
    Command(("demo",), "sightline_bench.commands.demo", "bench", "show the whole path once, with a report"),
    Command(("serve",), "sightline_cloud.commands.serve", "cloud", "run the service"),
    Command(("index", "add"), "sightline_cloud.commands.index_add", "cloud", "add photographs to the catalogue"),
    Command(
        ("index", "backfill"), "sightline_cloud.commands.index_backfill", "cloud", "embed items with another bundle"
    ),
    Command(("index", "stats"), "sightline_cloud.commands.index_stats", "cloud", "show what the data folder holds"),
    Command(("index", "remove"), "sightline_cloud.commands.index_remove", "cloud", "remove items by id"),
    Command(("index", "erase"), "sightline_cloud.commands.index_erase", "cloud", "erase every trace of items"),
    Command(("index", "build"), "sightline_cloud.commands.index_build", "cloud", "build the indexes anew"),
    Command(("index", "compact"), "sightline_cloud.commands.index_compact", "cloud", "merge changes into the indexes"),
    Command(("index", "promote"), "sightline_cloud.commands.index_promote", "cloud", "put hot lists into RAM"),
    Command(("index", "rollback"), "sightline_cloud.commands.index_rollback", "cloud", "go back one snapshot"),
    Command(("index", "verify"), "sightline_cloud.commands.index_verify", "cloud", "check catalogue and snapshots"),
    Command(("key", "add"), "sightline_cloud.commands.key_add", "cloud", "make an API key"),
    Command(("key", "list"), "sightline_cloud.commands.key_list", "cloud", "list API keys"),
    Command(("key", "revoke"), "sightline_cloud.commands.key_revoke", "cloud", "revoke an API key"),
    Command(("key", "rotate"), "sightline_cloud.commands.key_rotate", "cloud", "give an API key a new secret"),
    Command(("key", "limit"), "sightline_cloud.commands.key_limit", "cloud", "say how much an API key may ask"),
    Command(("block", "add"), "sightline_cloud.commands.block_add", "cloud", "refuse uploads of a picture"),
    Command(("block", "list"), "sightline_cloud.commands.block_list", "cloud", "list the blocked pictures"),
    Command(("block", "remove"), "sightline_cloud.commands.block_remove", "cloud", "allow a picture again"),
    Command(
        ("policy", "check"), "sightline_cloud.commands.policy_check", "cloud", "check the policy of sensitive routing"
    ),
    Command(
        ("policy", "show"), "sightline_cloud.commands.policy_show", "cloud", "show the policy of sensitive routing"
    ),
    Command(
        ("decision", "observe"), "sightline_edge.commands.decision_observe", "", "note what photographs are sent as"
    ),
    Command(
        ("decision", "calibrate"), "sightline_cloud.commands.decision_calibrate", "cloud", "fit found and not found"
    ),
    Command(("query",), "sightline_edge.commands.query", "", "ask the service about a photograph"),
    Command(("pocket", "export"), "sightline_cloud.commands.pocket_export", "cloud", "write a device's offline index"),
    Command(
        ("pocket", "sync"), "sightline_edge.commands.pocket_sync", "", "fetch or bring up to date an offline index"
    ),
    Command(
        ("pocket", "search"), "sightline_edge.commands.pocket_search", "", "ask an offline index about a photograph"
    ),
    Command(("bundle", "show"), "sightline_edge.commands.bundle_show", "", "show what a bundle holds"),
    Command(("bundle", "verify"), "sightline_edge.commands.bundle_verify", "", "check every file and the runtime"),
    Command(("conformance",), "sightline_edge.commands.conformance", "", "write golden vectors for a port"),
    Command(("doctor",), "sightline_edge.commands.doctor", "", "check this machine, the bundle and the service"),
    Command(("export", "run"), "sightline_export.commands.run", "export", "make a bundle from a recipe"),
    Command(("export", "card"), "sightline_export.commands.card", "export", "make a run's model card again"),
    Command(("export", "study"), "sightline_export.commands.study", "export", "compare trainings in one table"),
    Command(("export", "text"), "sightline_export.commands.text", "export", "make a bundle's text tower"),
    Command(("bench", "quality"), "sightline_bench.commands.quality", "bench", "measure recall on photographs"),
    Command(("bench", "edge"), "sightline_bench.commands.edge", "bench", "time the device path stage by stage"),
    Command(("bench", "retrieval"), "sightline_bench.commands.retrieval", "bench", "measure the index and its peers"),
    Command(("bench", "load"), "sightline_bench.commands.load", "bench", "put the running service under load"),
    Command(("bench", "crops"), "sightline_bench.commands.crops", "bench", "measure what several crops gain"),
    Command(("bench", "frames"), "sightline_bench.commands.frames", "bench", "measure frame check and bursts"),
    Command(("bench", "answers"), "sightline_bench.commands.answers", "bench", "time answers on slow networks"),
    Command(("bench", "network"), "sightline_bench.commands.network", "bench", "compute answers on mobile networks"),
    Command(("bench", "repeats"), "sightline_bench.commands.repeats", "bench", "measure the answer cache on clips"),
    Command(("bench", "session"), "sightline_bench.commands.session", "bench", "measure query expansion"),
    Command(("bench", "privacy"), "sightline_bench.commands.privacy", "bench", "measure what a code gives away"),
    Command(("bench", "all"), "sightline_bench.commands.all", "bench", "run all of them, and make a page"),
    Command(("bench", "compare"), "sightline_bench.commands.compare", "bench", "compare two results"),
    Command(("bench", "report"), "sightline_bench.commands.report", "bench", "one page over several results"),
    Command(("bench", "tables"), "sightline_bench.commands.tables", "bench", "write the READMEs' tables of results"),
    Command(("samples", "write"), "sightline_bench.commands.samples", "bench", "render the sample catalogue"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] in (["--version"], ["-V"]):
        print(f"sightline {__version__}")
        return 0
    command = next((c for c in COMMANDS if tuple(words[: len(c.words)]) == c.words), None)
    if command is None:
        asked_for_help = not words or words[0] in ("-h", "--help")
        print(overview(words), file=sys.stdout if asked_for_help else sys.stderr)
        return 0 if asked_for_help else 2
    as_json = "--json" in words
    try:
        module = _load(command)
        args = parser_of(command, module).parse_args(words[len(command.words) :])
        result = module.run(args)
        print(json.dumps(result, ensure_ascii=False) if as_json else module.show(result), flush=True)
        return 1 if isinstance(result, dict) and result.get("ok") is False else 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone; Python would complain at exit
        return 1
    except SightlineError as error:
        return _report(error, as_json, 2 if isinstance(error, ExtraMissing) else 1)
    except Exception as error:
        if environment.read("SIGHTLINE_DEBUG"):
            traceback.print_exc()
        wrapped = SightlineError(
            f"internal error: {type(error).__name__}: {error}",
            hint="Set SIGHTLINE_DEBUG=1 to see where, and report it.",
        )
        return _report(wrapped, as_json, 1)


def overview(words: Sequence[str] = ()) -> str:
    """Return the list of commands, or of one noun's verbs when `words` begins with a noun."""
    noun = [c for c in COMMANDS if words and c.words[0] == words[0]]
    lines = [] if noun or not words or words[0].startswith("-") else [f"sightline: there is no command '{words[0]}'"]
    lines.append("usage: sightline COMMAND [options]   (every command takes --help and --json)")
    lines += [f"  {' '.join(c.words):<15} {c.summary}" for c in noun or COMMANDS]
    return "\n".join(lines)


def parser_of(command: Command, module: ModuleType) -> argparse.ArgumentParser:
    """Return the command's parser; its module docstring is the description, the part from 'Examples:' the end."""
    description, _, examples = (module.__doc__ or "").partition("Examples:")
    parser = argparse.ArgumentParser(
        prog="sightline " + " ".join(command.words),
        description=description.strip(),
        epilog="Examples:" + examples.rstrip() if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    module.add_arguments(parser)
    return parser


def _load(command: Command) -> ModuleType:
    try:
        return importlib.import_module(command.module)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing.startswith("sightline_") or not command.extra:
            raise
        raise ExtraMissing(
            f"'sightline {' '.join(command.words)}' needs the package '{missing}', which is not installed.",
            hint=f"Run: pip install 'sightline[{command.extra}]'",
        ) from error


def _report(error: SightlineError, as_json: bool, status: int) -> int:
    if as_json:
        body: dict[str, Any] = {"ok": False, "error": error.to_dict()}
        print(json.dumps(body, ensure_ascii=False), flush=True)
    print(f"error [{error.code}]: {error.message}", *filter(None, [error.hint]), sep="\n  ", file=sys.stderr)
    return status
