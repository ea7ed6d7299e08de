"""What the bundle's sensitive head does: how many sensitive subjects it catches, and how many others it takes for one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_bench.packs import Photo
from sightline_bench.quality.embeddings import Embedded
from sightline_bench.quality.tasks import Suite
from sightline_edge.device import Device
from sightline_export.bounds import share_figure
from sightline_export.evaluate import Figure

ALARM = 0.01
RESUBSTITUTION = "the head learned from these kinds: recall on photographs it may have seen"
UNKNOWN = "the head never saw this kind"


def sensitive(suite: Suite, embedded: dict[Path, Embedded], device: Device) -> dict[str, Any]:
    """Return "kinds" and "false alarms" of the sensitive head; nothing without a head or sensitive photographs.

    By kind: recall at ALARM false alarms on all queries of the suite, what the head's own threshold misses, and what the
    bundle's manifest says was missed with the subjects left out of training in turn (None where it does not say). The
    false alarms of the own threshold are by task, and of the strangers.
    """
    head = device.heads.sensitive if device.heads else None
    if head is None or not suite.sensitive:
        return {}

    def scores(photos: tuple[Photo, ...]) -> NDArray[np.float32]:
        return head.scores(np.stack([embedded[photo.path].int8 for photo in photos]))

    asked = scores(tuple(dict.fromkeys(photo for task in suite.tasks for photo in task.queries)))
    limit = float(np.quantile(asked, 1 - ALARM))
    groups = {task.name: task.queries for task in suite.tasks if task.name not in ("packaged", "studio")}
    kinds = sorted({photo.coarse for photo in suite.sensitive})
    return {
        "alarms on": {"n": len(asked), "share": ALARM},
        "kinds": {
            kind: {
                **_caught(
                    scores(tuple(one for one in suite.sensitive if kind == one.coarse)), limit, head.unsure_above
                ),
                "missed, subjects left out (export)": device.bundle.manifest.metrics.get(f"sensitive.missed.{kind}"),
                "note": RESUBSTITUTION if kind in head.kinds else UNKNOWN,
            }
            for kind in kinds
        },
        "false alarms": {
            name: share_figure(scores(photos) >= head.unsure_above, name)
            for name, photos in {**groups, "strangers": suite.strangers}.items()
        },
    }


def _caught(found: NDArray[np.float32], limit: float, own: float) -> dict[str, Figure]:
    return {
        "recall at 1 % false alarms": share_figure(found > limit, "exact interval"),
        "missed": share_figure(found < own, "by the head's own threshold, exact interval"),
    }
