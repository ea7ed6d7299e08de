"""An emulator of mobile networks: links, radios and transports that do no I/O, and back ends that give them time."""
