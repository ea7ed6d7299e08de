"""Show what a bundle holds: versions, files, thresholds, and the figures measured when it was made.

Examples:
  sightline bundle show
  sightline bundle show ./my-bundle --json
"""

from __future__ import annotations

import argparse
from typing import Any

from sightline_edge.config import resolve_bundle
from sightline_edge.gate import Gate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", nargs="?", help="a bundle folder (default SIGHTLINE_BUNDLE, else the SDK's own)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    bundle = resolve_bundle(args.bundle)
    manifest, gate = bundle.manifest, Gate.from_bytes(bundle.role("gate"))
    return {
        "name": manifest.name,
        "version": manifest.version,
        "created": manifest.created,
        "digest": bundle.digest,
        "pairing_id": bundle.pairing.id.hex(),
        "space": manifest.space,
        "pixel_spec": manifest.pixel_spec,
        "input": [manifest.input_size, manifest.input_size, 3],
        "dim": manifest.dim,
        "code_bytes": bundle.codec.code_size,
        "files": {
            name: {"role": role, "bytes": manifest.files[name].size_bytes, "sha256": manifest.files[name].sha256}
            for role, name in sorted(manifest.roles.items())
        },
        "gate": {
            "score": gate.ood.kind,
            "rows": len(gate.ood.rows),
            "reject_below": gate.reject_below,
            "sure_above": gate.sure_above,
            "min_sharpness": gate.min_sharpness,
            "brightness": [gate.min_brightness, gate.max_brightness],
        },
        "decision": dict(manifest.decision),
        "golden": {"pictures": len(bundle.golden.sources), "min_cosine": manifest.golden_min_cosine},
        "forced": list(manifest.forced),
        "metrics": dict(manifest.metrics),
        "notice": manifest.notice,
    }


def show(result: dict[str, Any]) -> str:
    height, width, channels = result["input"]
    lines = [
        f"{result['name']} {result['version']}, made {result['created']}",
        f"  digest     {result['digest']}",
        f"  pairing    {result['pairing_id']} (space {result['space']})",
        f"  input      {height} x {width} x {channels} uint8, pixel spec {result['pixel_spec']}",
        f"  output     {result['dim']} numbers, sent as {result['code_bytes']} bytes",
        f"  gate       {result['gate']['score']} over {result['gate']['rows']} rows, no match below {result['gate']['reject_below']:.3f}, "
        f"sharpness at least {result['gate']['min_sharpness']:.1f}",
        "  decision   " + ", ".join(f"{name} {value:.3f}" for name, value in sorted(result["decision"].items())),
        f"  golden     {result['golden']['pictures']} pictures, cosine at least {result['golden']['min_cosine']}",
        "  files",
    ]
    lines += [
        f"    {entry['role']:<9} {name:<22} {entry['bytes']:>10,} bytes  {entry['sha256'][:12]}..."
        for name, entry in result["files"].items()
    ]
    lines += [f"  FORCED     {line}" for line in result["forced"]]
    lines += ["  metrics"] if result["metrics"] else []
    lines += [f"    {name:<40} {_short(value)}" for name, value in sorted(result["metrics"].items())]
    return "\n".join(lines)


def _short(value: Any) -> str:
    if isinstance(value, dict) and "value" in value:
        interval = value.get("interval")
        span = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
        return f"{value['value']:.4g}{span}" + (f"  n={value['n']}" if "n" in value else "")
    return str(value)
