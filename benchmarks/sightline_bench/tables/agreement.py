"""Tables of what holds the model: arithmetic, the kernel's TCP, the real client and service; and how far the proxy is off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sightline_bench.netsim import deviation, product_table, theory
from sightline_bench.netsim.agreement import WITHIN
from sightline_bench.tables.cells import table
from sightline_bench.tables.shelf import Shelf

KERNEL, JITTER, TLS = "network-kernel", "network-kernel-jitter", "network-tls"
THEORY, PRODUCT, PROXY = "network-theory", "network-product", "network-proxy"
BOUNDS = (0.03, 0.05, WITHIN)

Networks = Mapping[str, Mapping[str, Any]]


def kernel(shelf: Shelf) -> str:
    """Return the ratio of the model's median to the kernel's by network, connection and size: every cell."""
    jitter: Networks = shelf[JITTER]["agreement"]
    steady: Networks = {name: row for name, row in shelf[KERNEL]["agreement"].items() if name not in jitter}
    about = f"On networks that never change {_near(steady)}; on networks with jitter or losses {_near(jitter)}."
    return f"{_ratios({**steady, **jitter})}\n\n{shelf.source(KERNEL, JITTER, about=about)}"


def tls(shelf: Shelf) -> str:
    """Return the same with TLS 1.3 above TCP."""
    found = shelf[TLS]["agreement"]
    return f"{_ratios(found)}\n\n{shelf.source(TLS, about=f'{_near(found).capitalize()}.')}"


def product(shelf: Shelf) -> str:
    """Return the real client asking the real service, by network, situation and way to ask, and the model beside it."""
    return f"{product_table.as_markdown(shelf[PRODUCT])}\n\n{shelf.source(PRODUCT)}"


def against_theory(shelf: Shelf) -> str:
    """Return the packets through the emulator beside arithmetic."""
    return f"{theory.as_markdown(shelf[THEORY]['theory'])}\n\n{shelf.source(THEORY)}"


def proxy(shelf: Shelf) -> str:
    """Return how far the proxy is off the model."""
    return f"{deviation.as_markdown(shelf[PROXY]['proxy'])}\n\n{shelf.source(PROXY)}"


def _ratios(found: Networks) -> str:
    cells = [label for row in found.values() for label in row.get("cells", {})]
    kinds, sizes = (list(dict.fromkeys(_parts(label)[which] for label in cells)) for which in (0, 1))
    rows = []
    for name, network in found.items():
        if network["refused"]:
            rows.append([name, f"refused: {network['late_p99_ms']} ms late at p99"])
        for kind in () if network["refused"] else kinds:
            rows.append([name, kind, *(_ratio(network["cells"].get(f"{kind} {size}")) for size in sizes)])
    return table([f"model to kernel, medians; bold: off by more than {100 * WITHIN:g} %", "", *sizes], rows)


def _parts(label: str) -> tuple[str, str]:
    """Return "cold" and "96 B" of "cold 96 B"."""
    kind, size, unit = label.rsplit(" ", 2)
    return kind, f"{size} {unit}"


def _ratio(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return ""
    text = f"{cell['model_to_kernel']:.3f}"
    return text if abs(cell["model_to_kernel"] - 1) <= WITHIN else f"**{text}**"


def _near(found: Networks) -> str:
    """Return how many cells are near."""
    cells = [cell for row in found.values() for cell in row.get("cells", {}).values()]
    if not cells:
        return "no cell was measured"
    off = np.array([abs(cell["model_to_kernel"] - 1) for cell in cells])
    near = ", ".join(f"{(off <= bound).sum()} within {100 * bound:g} %" for bound in BOUNDS)
    return f"of {len(off)} cells {near}, the median {100 * np.median(off):.1f} % off, the worst {100 * off.max():.1f} %"
