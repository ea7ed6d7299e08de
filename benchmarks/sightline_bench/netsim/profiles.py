"""Networks by name: reads `profiles.toml`, or a file like it, and builds what a profile describes.

Every figure's source stands in the file; unknown keys are refused, and so is a name that stands for nothing.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

from sightline_bench.netsim.capacity import MBIT, Capacity, ConstantRate
from sightline_bench.netsim.cell import Cell
from sightline_bench.netsim.clock import MS_NS
from sightline_bench.netsim.jitter import Jitter
from sightline_bench.netsim.link import Limit, Link
from sightline_bench.netsim.loss import GilbertElliott
from sightline_bench.netsim.radio import Direction, RadioModel
from sightline_bench.netsim.synthetic import Stalls, TraceShape, synthetic_trace
from sightline_bench.netsim.traces import Trace
from sightline_cloud.policy.section import Section
from sightline_shared.errors import ConfigInvalid

FORMAT = 1
SHIPPED = "the emulator's own profiles.toml"
MAX_BYTES = 256 * 1024
MAX_TABLES = 200
TRACE_SECONDS = 300
MAX_MS, MAX_MBIT = 60_000.0, 100_000.0
# Without a radio's table it listens always.
AWAKE = RadioModel(drx_after_ns=0, drx_cycle_ns=0, idle_after_ns=None, promotion_ns=0, paging_cycle_ns=0)

Source = float | TraceShape


@dataclass(frozen=True)
class Profile:
    """A network: `up` and `down` are megabits a second or the shape of a trace.

    `jitter_ms` is the mean delay in each direction, `spike_ms` the mean of the `spike_share` of the delays instead.
    """

    name: str
    title: str
    source: str
    round_trip_ms: float
    down: Source
    up: Source
    jitter_ms: float
    queue_packets: int
    loss: GilbertElliott | None
    radio_name: str
    radio: RadioModel
    spike_share: float = 0.0
    spike_ms: float = 0.0

    @property
    def jitter(self) -> Jitter:
        return Jitter(round(self.jitter_ms * MS_NS), self.spike_share, round(self.spike_ms * MS_NS))

    @property
    def is_constant(self) -> bool:
        """Whether the same exchange always takes the same time, but for jitter and loss."""
        return not isinstance(self.up, TraceShape) and not isinstance(self.down, TraceShape)

    def capacities(self, seed: int, recorded: Mapping[Direction, Trace] | None = None) -> dict[Direction, Capacity]:
        """Return new capacities; `recorded` traces stand in for a direction's rate."""
        sources = {Direction.UP: self.up, Direction.DOWN: self.down}
        traces = recorded or {}
        return {way: traces[way].capacity() if way in traces else _capacity(sources[way], seed) for way in Direction}

    def cell(self, seed: int, recorded: Mapping[Direction, Trace] | None = None) -> Cell:
        """Return new links. The same seed gives the same network."""
        half_ns = round(self.round_trip_ms * MS_NS / 2)
        links = {
            direction: Link(
                capacity,
                propagation_ns=half_ns if direction is Direction.UP else 0,
                jitter=self.jitter,
                limit=Limit(packets=self.queue_packets),
                loss=self.loss,
                seed=f"{self.name}/{direction.value}/{seed}",
            )
            for direction, capacity in self.capacities(seed, recorded).items()
        }
        return Cell(links, half_ns)


# What both ends take themselves is measured through it.
NO_NETWORK = Profile(
    "none", "no network", "what client and service take", 0.0, 10_000.0, 10_000.0, 0.0, 10_000, None, "", AWAKE
)


@dataclass(frozen=True)
class Profiles:
    """What one file holds, by name."""

    radios: Mapping[str, RadioModel]
    shapes: Mapping[str, TraceShape]
    profiles: Mapping[str, Profile]

    def named(self, name: str) -> Profile:
        """Return a profile; raises ConfigInvalid with the names that there are."""
        if name not in self.profiles:
            raise ConfigInvalid(f"profile: expected one of {', '.join(self.profiles)}, got '{name[:40]}'.")
        return self.profiles[name]


def shipped_profiles() -> Profiles:
    """Return the profiles that come with the package."""
    return parse_profiles(resources.files("sightline_bench.netsim").joinpath("profiles.toml").read_bytes(), SHIPPED)


def read_profiles(path: Path) -> Profiles:
    """Read a file of one's own; raises ConfigInvalid with file and key."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigInvalid(f"{path}: expected a file of profiles, got '{error.strerror}'.") from error
    return parse_profiles(data, str(path))


def parse_profiles(data: bytes, file: str) -> Profiles:
    """Return what a file's bytes say; raises ConfigInvalid with `file` and key."""
    if len(data) > MAX_BYTES:
        raise ConfigInvalid(f"{file}: expected at most {MAX_BYTES} bytes, got more.")
    try:
        fields = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:  # tomllib passes on what int() says of 5,000 digits
        raise ConfigInvalid(f"{file}: expected a TOML file, got '{error}'.") from error
    top = Section(fields, file)
    top.choice("format", [FORMAT])
    radios = {"": AWAKE}
    if "radios" in top:
        tables = top.section("radios")
        radios |= {name: _radio(tables.section(name)) for name in tables.keys}
    shapes: dict[str, TraceShape] = {}
    for table in top.sections("shapes", most=MAX_TABLES) if "shapes" in top else ():
        shape = _shape(table)
        if shape.name in shapes:
            table.refuse("name", "a name of its own", shape.name)
        shapes[shape.name] = shape
    profiles: dict[str, Profile] = {}
    for table in top.sections("profiles", most=MAX_TABLES):
        profile = _profile(table, radios, shapes)
        if profile.name in profiles:
            table.refuse("name", "a name of its own", profile.name)
        profiles[profile.name] = profile
    top.close()
    return Profiles(radios, shapes, profiles)


def _radio(table: Section) -> RadioModel:
    table.text("source")
    names = ("drx_after_ms", "drx_cycle_ms", "promotion_ms", "paging_cycle_ms")
    drx_after, drx_cycle, promotion, paging_cycle = (round(table.number(name, 0, MAX_MS) * MS_NS) for name in names)
    idle_after = round(table.number("idle_after_ms", 0, MAX_MS) * MS_NS) if "idle_after_ms" in table else None
    table.close()
    return RadioModel(drx_after, drx_cycle, idle_after, promotion, paging_cycle)


def _shape(table: Section) -> TraceShape:
    shape = TraceShape(
        name=table.text("name", most=60),
        source=table.text("source"),
        p5_mbit=table.number("p5_mbit", 0, MAX_MBIT),
        p50_mbit=table.number("p50_mbit", 0, MAX_MBIT),
        p95_mbit=table.number("p95_mbit", 0, MAX_MBIT),
        correlation=table.number("correlation", 0, 1),
        mean_mbit=table.number("mean_mbit", 0, MAX_MBIT) if "mean_mbit" in table else None,
        stalls=_stalls(table.section("stalls")) if "stalls" in table else None,
    )
    table.close()
    return shape


def _stalls(table: Section) -> Stalls:
    stalls = Stalls(
        count=table.integer("count", 1, 10**6),
        longest_ms=table.integer("longest_ms", 1, 10**7),
        seconds=table.number("seconds", 1, 10**6),
    )
    table.close()
    return stalls


def _profile(table: Section, radios: Mapping[str, RadioModel], shapes: Mapping[str, TraceShape]) -> Profile:
    radio_name = table.choice("radio", [name for name in radios if name]) if "radio" in table else ""
    spike_share, spike_ms = _spikes(table.section("spikes")) if "spikes" in table else (0.0, 0.0)
    profile = Profile(
        name=_in_a_cell(table, "name", 60),
        title=_in_a_cell(table, "title", 100),
        source=table.text("source"),
        round_trip_ms=table.number("round_trip_ms", 0, MAX_MS),
        down=_source(table, "down", shapes),
        up=_source(table, "up", shapes),
        jitter_ms=table.number("jitter_ms", 0, MAX_MS),
        queue_packets=table.integer("queue_packets", 1, 10**6),
        loss=_loss(table.section("loss")) if "loss" in table else None,
        radio_name=radio_name,
        radio=radios[radio_name],
        spike_share=spike_share,
        spike_ms=spike_ms,
    )
    table.close()
    return profile


def _in_a_cell(table: Section, key: str, most: int) -> str:
    """Return a text that stands in tables: one line, and nothing that ends a cell."""
    text = table.text(key, most=most)
    if "|" in text or not text.isprintable():
        table.refuse(key, "a text on one line without '|'", text)
    return text


def _source(table: Section, direction: str, shapes: Mapping[str, TraceShape]) -> Source:
    if f"{direction}_shape" in table:
        return shapes[table.choice(f"{direction}_shape", list(shapes))]
    return table.number(f"{direction}_mbit", 0.001, MAX_MBIT)


def _spikes(table: Section) -> tuple[float, float]:
    share, spike_ms = table.number("share", 0, 1), table.number("ms", 0, MAX_MS)
    table.close()
    return share, spike_ms


def _loss(table: Section) -> GilbertElliott:
    share, burst_packets = table.number("share", 0, 0.9), table.number("burst_packets", 1, 10**6)
    table.close()
    return GilbertElliott.of(share, burst_packets)


def _capacity(source: Source, seed: int) -> Capacity:
    if isinstance(source, TraceShape):
        return _trace(source, seed).capacity()
    return ConstantRate(round(source * MBIT))


@lru_cache(maxsize=128)  # some megabyte each, and a run takes them in turn
def _trace(shape: TraceShape, seed: int) -> Trace:
    return synthetic_trace(shape, TRACE_SECONDS, seed)
