"""A progress bar on stderr for anything longer than two seconds, and the timings of the stages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

Item = TypeVar("Item")


class Progress:
    """Tells a person what the export is doing; `quiet` tells nothing and still keeps the timings."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet)
        self.timings_s: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage of the pipeline; a stage that is entered twice is summed."""
        start = time.monotonic()
        self.console.print(f"[bold]{name}[/bold]")
        try:
            yield
        finally:
            taken = time.monotonic() - start
            self.timings_s[name] = round(self.timings_s.get(name, 0.0) + taken, 2)
            self.console.print(f"  {name}: {taken:.1f} s")

    def say(self, text: str) -> None:
        """Print one line of plain text."""
        self.console.print(f"  {text}", markup=False, highlight=False, soft_wrap=True)

    def track(self, items: Sequence[Item], label: str) -> Iterator[Item]:
        """Yield the items under a bar."""
        with self.bar(len(items), label) as advance:
            for item in items:
                yield item
                advance(1, "")

    @contextmanager
    def bar(self, total: int, label: str, done: int = 0) -> Iterator[Callable[[int, str], None]]:
        """Give a function `advance(count, note)`; the note (a loss, say) stands beside the bar."""
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with RichProgress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task(label, total=total, completed=done, note="")
            shown = time.monotonic()

            def advance(count: int, note: str) -> None:
                nonlocal shown
                bar.update(task, advance=count, note=note)
                # Without a terminal there is no bar: a line a minute keeps a log file useful.
                if not self.console.is_terminal and time.monotonic() - shown > 60:
                    shown = time.monotonic()
                    self.say(f"{label}: {bar.tasks[0].completed:.0f} of {total} {note}")

            yield advance
