"""Shards: which items live where, and one search over all of them."""
