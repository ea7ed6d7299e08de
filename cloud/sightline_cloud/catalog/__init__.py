"""The catalogue is the truth: items, their vectors and a change log. Indexes are built from it."""
