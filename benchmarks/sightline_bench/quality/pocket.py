"""Whether the pocket index and the service say the same of the same catalogue: found, unsure or not found.

What changes when the service's answer comes is what a user sees change.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sightline_bench.quality.questions import Asker, ask_everything
from sightline_bench.quality.tasks import Suite
from sightline_export.bounds import share_figure
from sightline_shared.confidence_fit import Example
from sightline_shared.protocol import Decision
from sightline_shared.verdict import judge

THRESHOLDS, MODELS = "thresholds", "models"
COLUMNS = ("changes", "found, then unsure", "found, then not found", "found by the pocket", "of these right")


def pocket(suite: Suite, asker: Asker, service: list[Example]) -> dict[str, Any]:
    """Return, by kind of question, what a pocket says of it by two thresholds and by the bundle's models.

    `service` is what the service found of the same questions, in `ask_everything`'s order.
    """
    device = asker.device
    asked = ask_everything(suite, Asker(device, asker.embedded, pocket=True))
    thresholds = device.bundle.manifest.decision
    final = np.array([int(judge(one.evidence, device.calibration, thresholds).decision) for one in service])
    tables: dict[str, Any] = {}
    for way, models in ((THRESHOLDS, None), (MODELS, device.calibration)):
        said = np.array([int(judge(one.evidence, models, thresholds).decision) for one in asked])
        found = said == int(Decision.FOUND)
        for key in dict.fromkeys((one.kind, one.style, one.group) for one in asked):
            rows = np.array([(one.kind, one.style, one.group) == key for one in asked])
            right = np.array([one.right for one in asked])[rows & found]
            shares = (
                (said != final)[rows],
                (found & (final == int(Decision.UNSURE)))[rows],
                (found & (final == int(Decision.NOT_FOUND)))[rows],
                found[rows],
                right,
            )
            figures = {name: share_figure(share, "") for name, share in zip(COLUMNS, shares, strict=True)}
            tables.setdefault(f"{key[0]}: {key[2]} of {key[1]}", {})[way] = figures
    return tables
