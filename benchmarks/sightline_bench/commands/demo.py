"""Show the whole path once: a catalogue, the service, and photographs asked about it, with a table and a report.

Everything is real and runs here: the service is started in this process and asked over HTTP on loopback. Without
--photos the catalogue is rendered; with it, your own pictures are indexed and altered views of them are asked about.

Examples:
  sightline demo
  sightline demo --photos ~/Pictures/shop --out ./demo-report
  sightline demo --json
"""

from __future__ import annotations

DEFAULT_OUT = "demo-report"
