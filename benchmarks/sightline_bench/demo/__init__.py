"""The demo: the whole path once, shown to a person."""
