"""Finds the bundles that the service pairs with: those given, else the environment's, else the SDK's own."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from sightline_shared import environment
from sightline_shared.bundle import Bundle, open_bundle
from sightline_shared.errors import BundleNotFound


def find_bundles(given: Sequence[Path]) -> list[Bundle]:
    """Open and verify the bundles, at least one; raises BundleError.

    The service never imports the device's code; the SDK's package is only looked up for the folder inside it.
    """
    if given:
        return [open_bundle(path) for path in given]
    named = environment.read("SIGHTLINE_BUNDLE")
    if named:
        return [open_bundle(named)]
    spec = importlib.util.find_spec("sightline_edge")
    if spec is None or not spec.submodule_search_locations:
        raise BundleNotFound("expected the SDK's own bundle, got no package sightline_edge.", hint="Give --bundle.")
    return [open_bundle(Path(spec.submodule_search_locations[0]) / "default_bundle")]
