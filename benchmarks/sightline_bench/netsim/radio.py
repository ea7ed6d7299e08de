"""When a phone's radio lets a packet through: connected, dozing between listening instants (cDRX), or idle.

    connected --(nothing for drx_after)--> dozing --(nothing for idle_after, counted from the last packet)--> idle

A phone that wants to send wakes its radio itself: at once from dozing, after `promotion` from idle. The network has to
wait until the phone listens: the next instant of the DRX cycle, or of the paging cycle and then the promotion. Left out:
short DRX cycles, the scheduling request of a dozing phone (some 10 ms), 3G's FACH, and hand-overs.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from sightline_shared.errors import ConfigInvalid


class Direction(enum.Enum):
    """Which way a packet goes, seen from the phone."""

    UP = "up"
    DOWN = "down"


class State(enum.Enum):
    """What a radio is doing; a radio on its way up is CONNECTED for what is offered after it is there."""

    IDLE = "idle"
    DOZING = "cdrx"
    CONNECTED = "connected"


@dataclass(frozen=True)
class RadioModel:
    """A network's timers; a cycle of 0 listens always, an `idle_after_ns` of None is never idle."""

    drx_after_ns: int
    drx_cycle_ns: int
    idle_after_ns: int | None
    promotion_ns: int
    paging_cycle_ns: int

    def __post_init__(self) -> None:
        times = (self.drx_after_ns, self.drx_cycle_ns, self.idle_after_ns or 0, self.promotion_ns, self.paging_cycle_ns)
        if min(times) < 0 or (self.idle_after_ns is not None and self.idle_after_ns < self.drx_after_ns):
            raise ConfigInvalid(f"radio: expected times from 0 on, idle not before dozing, got {self}.")


class RadioState:
    """One phone's radio. `used_ns`: when it was last used, None for idle since long; `phase_ns`: an instant at which it listens."""

    def __init__(self, model: RadioModel, *, used_ns: int | None = None, phase_ns: int = 0) -> None:
        self._model, self._phase_ns = model, phase_ns
        self._used_ns = used_ns
        # The radio is up from here on, and so long may the phone itself not need once it wants to send.
        self._up_ns = self._own_wake_ns = 0
        self._let_through_ns = dict.fromkeys(Direction, 0)
        self._on_since_ns, self._spent_ns = used_ns, 0

    def state(self, now_ns: int) -> State:
        """Return what the radio does at `now_ns`."""
        model = self._model
        if self._used_ns is None:
            return State.CONNECTED if model.idle_after_ns is None else State.IDLE
        unused_ns = now_ns - self._used_ns
        if model.idle_after_ns is not None and unused_ns > model.idle_after_ns:
            return State.IDLE
        return State.DOZING if unused_ns > model.drx_after_ns else State.CONNECTED

    def gate(self, now_ns: int, direction: Direction) -> int:
        """Return when a packet that is there at `now_ns` may enter the radio's queue; packets of a direction keep their order."""
        if now_ns >= self._up_ns:
            self._wake(now_ns, direction)
        elif direction is Direction.UP:  # paged, but the phone itself is sooner
            self._up_ns = min(self._up_ns, now_ns + self._own_wake_ns)
            self._on_since_ns = now_ns if self._on_since_ns is None else min(self._on_since_ns, now_ns)
        ready_ns = max(now_ns, self._up_ns, self._let_through_ns[direction])
        self._let_through_ns[direction] = ready_ns
        self.use(ready_ns)
        return ready_ns

    def use(self, until_ns: int) -> None:
        """Note that a packet is in the air until `until_ns`."""
        self._used_ns = until_ns if self._used_ns is None else max(self._used_ns, until_ns)

    def on_ns(self, now_ns: int) -> int:
        """Return for how long the radio has not been idle until `now_ns`, promotions and tails included: a proxy of energy."""
        if self._on_since_ns is None or self._used_ns is None:
            return self._spent_ns
        return self._spent_ns + max(0, min(now_ns, self._off_ns(now_ns)) - self._on_since_ns)

    def _wake(self, now_ns: int, direction: Direction) -> None:
        model, state = self._model, self.state(now_ns)
        asked_ns = now_ns
        if direction is Direction.DOWN and state is not State.CONNECTED:
            asked_ns = self._listens_ns(now_ns, model.paging_cycle_ns if state is State.IDLE else model.drx_cycle_ns)
        self._own_wake_ns = model.promotion_ns if state is State.IDLE else 0
        self._up_ns = asked_ns + self._own_wake_ns
        if state is State.IDLE:
            self._spent_ns = self.on_ns(now_ns)
            self._on_since_ns = asked_ns
        elif self._on_since_ns is None:
            self._on_since_ns = now_ns

    def _off_ns(self, now_ns: int) -> int:
        idle_after_ns = self._model.idle_after_ns
        return now_ns if idle_after_ns is None or self._used_ns is None else self._used_ns + idle_after_ns

    def _listens_ns(self, now_ns: int, cycle_ns: int) -> int:
        return now_ns + (self._phase_ns - now_ns) % cycle_ns if cycle_ns else now_ns
