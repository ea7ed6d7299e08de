"""What must be bit-identical on the device and in the cloud: wire, codec, pixels, bundle, errors."""

__version__ = "0.1.0"
