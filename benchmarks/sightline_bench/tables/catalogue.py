"""Every table by the name that its block has."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sightline_bench.tables import agreement, aims, device, glance, load, looks, network, quality, retrieval, traces
from sightline_bench.tables.shelf import Shelf
from sightline_shared.errors import InputError

Table = Callable[[Shelf], str]

TABLES: Mapping[str, Table] = {
    "quality": quality.recall,
    "strangers": quality.strangers,
    "decisions": quality.decisions,
    "calibration": quality.calibration,
    "categories": quality.categories,
    "texts": quality.texts,
    "texts-short": quality.texts_short,
    "operators": glance.operators,
    "device-stages": device.stages,
    "device-costs": device.costs,
    "pocket": device.pocket,
    "pocket-bytes": device.pocket_bytes,
    "repeats": device.repeats,
    "sessions": device.sessions,
    "privacy": device.privacy,
    "crops": looks.crops,
    "frames": looks.frames,
    "bursts": looks.bursts,
    "retrieval-aims": aims.aims,
    "retrieval-peers": retrieval.peers,
    "retrieval-peers-100k": retrieval.peers_100k,
    "retrieval-sizes": retrieval.sizes,
    "retrieval-on-paper": retrieval.on_paper,
    "load-knee": load.knee,
    "load-overload": load.overload,
    "load-batches": load.batches,
    "network-chosen": network.chosen,
    "network-strategies": network.strategies,
    "network-verdicts": network.verdicts,
    "network-sizes": network.sizes,
    "network-made": network.made,
    "network-racing": network.racing,
    "network-kernel": agreement.kernel,
    "network-product": agreement.product,
    "network-theory": agreement.against_theory,
    "network-proxy": agreement.proxy,
    "network-tls": agreement.tls,
    "network-traces": traces.shapes,
}


def written(shelf: Shelf, name: str) -> str:
    """Return the table of that name; raises InputError for another name, and where a result is missing or of another form."""
    if name not in TABLES:
        raise InputError(f"table {name}: expected one of {', '.join(TABLES)}.")
    try:
        return TABLES[name](shelf)
    except (KeyError, IndexError, StopIteration) as error:
        raise InputError(
            f"table {name}: expected a result with {error}, but its file has none.",
            hint="Measure it again with this version, or with the options that scenarios/full.toml gives.",
        ) from error
