"""What must be bit-identical on the device and in the cloud: wire, codec, pixels, bundle, errors."""
