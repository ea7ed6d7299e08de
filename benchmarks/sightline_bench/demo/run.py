"""Runs the demo: the real service in this process, the real client over loopback HTTP, one question after another."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from sightline_bench.demo.scenario import Question
from sightline_edge import Answer, Client, Device, Options, Outcome
from sightline_edge.commands.query import sum_device
from sightline_export.evaluate import Figure, mean_figure
from sightline_shared.errors import SightlineError


@dataclass(frozen=True)
class Asked:
    """A question with its answer, or with the error that the app would see."""

    question: Question
    answer: Answer | None = None
    error: SightlineError | None = None

    @property
    def rank(self) -> int | None:
        """The true item's place among the matches, from 1; None when it is not there."""
        ids = [match.id for match in self.answer.matches] if self.answer else []
        return ids.index(self.question.truth) + 1 if self.question.truth in ids else None

    @property
    def outcome(self) -> str:
        return self.answer.outcome.value if self.answer else self.error.code if self.error else ""

    def to_dict(self) -> dict[str, Any]:
        said = {"question": self.question.title, "photo": str(self.question.photo), "truth": self.question.truth}
        if self.error:
            return {**said, "error": self.error.to_dict()}
        return {**said, "true_item_rank": self.rank, **(self.answer.to_dict() if self.answer else {})}


@dataclass(frozen=True)
class Trial:
    """Many photographs at once: how often the true item came first and among five, and what became of strangers.

    `strangers` counts "not_found on the device", "not_found in the cloud" and the other outcomes by name.
    """

    first: Figure
    among_five: Figure
    outcomes: dict[str, int]
    strangers: dict[str, int]
    device_ms: float
    round_trip_ms: float

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class InPocket:
    """A photograph asked on a device with a pocket index of `items` items in `size_bytes`: every answer, in their order.

    The pocket's at once, the service's when it came, and the pocket's alone when there was no service any more.
    """

    items: int
    size_bytes: int
    answers: list[Asked]


def ask(client: Client, question: Question) -> Asked:
    """Return the answer to one question; an error becomes part of the result, as an app would show it."""
    try:
        return Asked(question, client.search(question.photo))
    except SightlineError as error:
        return Asked(question, error=error)


def ask_all(
    url: str, api_key: str, device: Device, questions: list[Question], *, crops: int = Options.crops
) -> list[Asked]:
    """Ask every question through one client; the first query's cold start is spent on a warm-up."""
    with Client(url, api_key=api_key, device=device, options=Options(k=10, crops=crops)) as client:
        ask(client, questions[0])
        return [ask(client, question) for question in questions]


def ask_at_once(client: Client, question: Question) -> list[Asked]:
    """Return the answers to one question as they come: what the device knows, then what the service says."""
    client.wake().result()
    try:
        answers = list(client.stream(question.photo))
    except SightlineError as error:
        return [Asked(_titled(question, "the service's answer"), error=error)]
    titles = {True: "then, the service's answer", False: "at once, from the pocket index"}
    return [Asked(_titled(question, titles[answer.final]), answer) for answer in answers]


def ask_offline(client: Client, question: Question) -> Asked:
    """Return the answer to one question when the service is gone."""
    return ask(client, _titled(question, "service down: the pocket index alone"))


def _titled(question: Question, title: str) -> Question:
    return dataclasses.replace(question, title=title)


def summarize(asked: list[Asked], strangers: list[Asked]) -> Trial:
    """Return the figures of a trial; a frame that was turned away counts as a miss."""
    ranks = [one.rank for one in asked]
    answers = [one.answer for one in asked if one.answer and one.answer.decided_by == "cloud"]
    return Trial(
        first=mean_figure(np.array([rank == 1 for rank in ranks], np.float64)),
        among_five=mean_figure(np.array([rank is not None and rank <= 5 for rank in ranks], np.float64)),
        outcomes=dict(Counter(one.outcome for one in asked)),
        strangers=dict(Counter(_by_whom(one) for one in strangers)),
        device_ms=float(np.median([sum_device(dict(a.stages_ms)) for a in answers])) if answers else float("nan"),
        round_trip_ms=float(np.median([a.stages_ms["round_trip"] for a in answers])) if answers else float("nan"),
    )


def _by_whom(one: Asked) -> str:
    if one.answer is None or one.answer.outcome is not Outcome.NOT_FOUND:
        return one.outcome
    return "not_found on the device" if one.answer.decided_by == "device" else "not_found in the cloud"
