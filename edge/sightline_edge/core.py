"""One query, whoever asks: the device's part, and the service's part as a coroutine. Both clients are made of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from sightline_edge import exchange, local
from sightline_edge.answer import Answer
from sightline_edge.cache import AnswerCache, Asked
from sightline_edge.config import Options
from sightline_edge.device import Device
from sightline_edge.frame import Box, Tap
from sightline_edge.local import Pocket, Turn
from sightline_edge.network import Network
from sightline_edge.pipeline import observe
from sightline_edge.pocket import PocketIndex
from sightline_edge.pocket_sync import Synced
from sightline_edge.session import Session
from sightline_edge.transport import Packed, Transport
from sightline_shared.budget import Budget
from sightline_shared.bundle import Bundle
from sightline_shared.errors import ConfigInvalid, ServiceError, ServiceTimeout
from sightline_shared.preprocess import Frame
from sightline_shared.protocol import check_text
from sightline_shared.where import Wanted, Where


class Core:
    """What a client is made of; safe to share between threads, `ask` within one event loop."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None,
        bundle: Bundle | str | Path | None,
        device: Device | None,
        runtime: str,
        options: Options | None,
        cache: AnswerCache | None,
        pocket: Pocket | None,
        session: Session | None,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self.url = _checked_url(url)
        self.options = options or Options()
        self.device = device or Device.load(bundle, runtime=runtime)
        self.cache, self.pocket, self.session, self.network = cache, pocket, session, Network()
        # Answers are the tenant's, and a tenant is known by its key: what another one was told is never shown.
        self._scope = hashlib.sha256(
            b"\n".join((self.url.encode(), (api_key or "").encode(), self.device.bundle.pairing.id))
        ).digest()
        self.transport = Transport(self.url, exchange.headers(api_key), self.network, transport)

    def look(
        self,
        frame: Frame,
        where: Wanted | None,
        options: Options | None,
        regions: Sequence[Box | Tap],
        text: str = "",
    ) -> Turn:
        """Return what the device makes of `frame`, and what it can answer at once."""
        wanted = Where.of(where or {})
        check_text(text)
        chosen = self.network.modest(options or self.options)
        budget = Budget(chosen.deadline_ms)
        hashed = self.cache is not None
        seen = observe(
            frame, self.device, budget, crops=chosen.crops, regions=regions, hashed=hashed,
            ask_restricted=chosen.ask_restricted,
        )  # fmt: skip
        if self.session is not None and not seen.restricted:
            with budget.stage("expand"):
                seen = self.session.expanded(seen, self.device.codec)
        asked = Asked(self._scope, tuple(crop.code or b"" for crop in seen.sent), wanted, chosen.k, text)
        turn = Turn(seen, asked, chosen, budget, local.stopped(seen, budget))
        if turn.settled or seen.restricted:  # a sensitive subject is neither looked up nor remembered on the device
            return turn
        answer = local.from_cache(seen, asked, self.cache, budget) if self.cache else None
        if answer is None and self.pocket is not None:
            answer = local.from_pocket(seen, wanted, chosen, self.pocket, self.device, budget)
            answer = answer and local.without_text(answer, text)
        return replace(turn, local=answer)

    async def ask(self, turn: Turn) -> Answer:
        """Return the service's answer, or the device's own as the last word when the service cannot be asked.

        Raises the service's refusals, and a ServiceError when the device has nothing to say either.
        """
        try:
            return await self._ask(turn)
        except ServiceError as error:
            return local.standing(turn, error)

    async def sync_pocket(self) -> Synced:
        """Bring the pocket index up to date; raises ConfigInvalid without one that can be."""
        if not isinstance(self.pocket, PocketIndex):
            raise ConfigInvalid(f"pocket: expected a PocketIndex to bring up to date, got {self.pocket!r:.80}.")
        return await self.transport.sync(self.pocket)

    async def _ask(self, turn: Turn) -> Answer:
        options, budget = turn.options, turn.budget
        if turn.local is not None and not self.network.can_answer(budget.left_ms):
            state = self.network.state()
            raise ServiceTimeout(
                f"not asked: round trips take {state.round_trip_ms:.0f} ms, and {budget.left_ms:.0f} are left."
            )

        def pack() -> Packed:
            return exchange.pack(turn.seen, self.device, turn.asked.where, options, budget, turn.asked.text)

        with budget.stage("round_trip"):
            sent = await self.transport.ask(pack, options, budget)
        answer = exchange.read(sent.reply, sent.request, sent.request_id, turn.seen, self.device, options, budget)
        answer = replace(answer, attempts=sent.attempts)
        if turn.seen.restricted:
            return answer
        if self.cache is not None:
            first = turn.seen.sent[0]
            self.cache.keep(turn.asked, answer, first.embedding, turn.seen.phash)
        if self.session is not None:
            self.session.note(answer, self.device.codec)
        return answer


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except (ValueError, AttributeError):  # a broken IPv6 address or port, or no text at all
        usable = False
    if not usable:
        raise ConfigInvalid(f"url: expected http://host:port or https://host, got {url!r}.")
    return url.rstrip("/")
