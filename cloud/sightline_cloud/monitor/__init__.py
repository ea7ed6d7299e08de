"""What the service shows of itself to whoever operates it."""
