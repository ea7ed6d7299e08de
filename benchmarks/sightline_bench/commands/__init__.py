"""The benchmarks' commands; sightline_shared.cli finds them."""
