"""The runtimes that can run a bundle's student, behind one seam."""

from sightline_edge.runtimes.base import Runtime, load_runtime

__all__ = ["Runtime", "load_runtime"]
