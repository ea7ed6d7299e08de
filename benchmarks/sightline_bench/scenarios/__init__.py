"""Scenario files: which benchmarks to run, with which options."""
