"""What the device's own features gain and cost: session expansion, the answer cache, what a code gives away."""
