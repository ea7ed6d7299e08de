"""The packs' recorded traces beside the made ones that are like them; without the packs there are none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sightline_bench.netsim.profiles import Profile
from sightline_bench.netsim.radio import Direction
from sightline_bench.netsim.synthetic import TraceShape
from sightline_bench.netsim.table import Network
from sightline_bench.netsim.traces import Trace, read_trace

FOLDER = Path("network") / "traces"
ENDINGS = (".mm.gz", ".csv.gz")


def recorded_networks(profiles: Sequence[Profile], packs: Path) -> list[Network]:
    """Return each profile whose shapes' traces are all there, with these; raises InputError where one cannot be read."""
    found = []
    for profile in profiles:
        sources = {Direction.UP: profile.up, Direction.DOWN: profile.down}
        paths = {
            direction: _path(packs, source) for direction, source in sources.items() if isinstance(source, TraceShape)
        }
        traces: dict[Direction, Trace] = {
            direction: read_trace(path, direction) for direction, path in paths.items() if path
        }
        if traces and len(traces) == len(paths):
            found.append(Network.of(profile, traces))
    return found


def _path(packs: Path, shape: TraceShape) -> Path | None:
    return next((path for ending in ENDINGS if (path := packs / FOLDER / f"{shape.name}{ending}").is_file()), None)
