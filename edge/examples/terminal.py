"""An app in the terminal: a folder of pictures is its camera, and every picture is looked at as it comes.

  python edge/examples/terminal.py photos/ --url http://127.0.0.1:8765 --api-key sk_... --pocket pocket.slp

Each picture gets the device's answer at once, where it has one, and then the service's. Ctrl-C ends it; --once ends it
when all pictures that are there have been looked at.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

from sightline_edge import Answer, AnswerCache, Client, Device, Outcome, PocketIndex, SightlineError

SAID = {
    Outcome.FOUND: "this is",
    Outcome.UNSURE: "similar",
    Outcome.NOT_FOUND: "no visual match",
    Outcome.RETAKE: "once more, please",
    Outcome.RESTRICTED: "no answer to this subject",
}


def frames(folder: Path, *, once: bool) -> Iterator[Path]:
    """Yield the pictures of `folder`, those that come later too unless `once`."""
    seen: set[Path] = set()
    while True:
        new = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
        for path in new:
            if path not in seen:
                seen.add(path)
                yield path
        if once:
            return
        time.sleep(0.2)


def line(answer: Answer, since_s: float) -> str:
    """Return what the user sees of an answer."""
    ms = 1000 * (time.perf_counter() - since_s)
    best = answer.matches[0] if answer.matches else None
    what = f" {best.metadata.get('title') or best.id} ({best.score:.2f})" if best else ""
    why = "" if best else "".join(f": {reason}" for reason in answer.reasons[:1])
    note = "" if answer.final else ", asking the service"
    trouble = f", {answer.trouble}" if answer.trouble else ""
    return f"  {ms:6.0f} ms  {SAID[answer.outcome]}{what}{why}  [{answer.decided_by}{note}{trouble}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the pictures come from")
    parser.add_argument("--url", default="http://127.0.0.1:8765")
    parser.add_argument("--api-key")
    parser.add_argument("--pocket", type=Path, help="the device's own index, brought up to date first")
    parser.add_argument("--once", action="store_true", help="end after the pictures that are there")
    args = parser.parse_args()
    try:
        watch(args)
    except SightlineError as error:
        parser.exit(1, f"{error}\n")
    except KeyboardInterrupt:
        parser.exit(0)


def watch(args: argparse.Namespace) -> None:
    device = Device.load()
    pocket = PocketIndex.open_or_empty(args.pocket, device) if args.pocket else None
    with Client(args.url, api_key=args.api_key, device=device, pocket=pocket, cache=AnswerCache()) as client:
        client.wake()
        if pocket is not None:
            try:
                print(f"pocket: {client.sync_pocket().items} items")
            except SightlineError as error:  # offline: what is on the device has to do
                print(f"pocket: {len(pocket)} items, not brought up to date ({error.code})")
        for path in frames(args.folder, once=args.once):
            print(path.name)
            since_s = time.perf_counter()
            try:
                for answer in client.stream(path):
                    print(line(answer, since_s), flush=True)
            except SightlineError as error:
                print(f"  {error}")


if __name__ == "__main__":
    main()
