"""Benchmarks, data domains and sample renderers of Sightline."""
