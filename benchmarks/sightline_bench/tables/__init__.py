"""The tables of the READMEs, written from benchmarks/results."""
