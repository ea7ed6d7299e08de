"""One HTML page over any number of results."""
