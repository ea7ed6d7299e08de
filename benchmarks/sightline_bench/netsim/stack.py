"""How many bytes a query really costs: headers of every layer, handshakes, and what a session saves of them.

Measured on 2026-11-26: the client's own HTTP/1.1 head (275 bytes up, 145 down, `bench edge`), its headers through `hpack`
(124 up and 77 down at first, 10 and 6 afterwards), TLS 1.3 between OpenSSL 3.0 in memory (ClientHello 517, with a ticket
565; the server's flight without certificates 372, resumed 241; Finished 80; a ticket 255; 22 bytes a record). Assumed: 1,900
bytes of certificates (two, with elliptic curves); a date of 24 bytes in later answers; QPACK without a dynamic table; QUIC
packets of 1,200 bytes (RFC 9000's least, which every path takes). IPv4 everywhere; TCP with timestamps. Left out: DNS,
certificates beyond QUIC's amplification limit (these fit), headers below IP.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

RECORD_BYTES, RECORD_OVERHEAD_BYTES = 16_384, 22


class Session(enum.Enum):
    """What client and server have of each other when a query begins."""

    WARM = "warm"  # an open connection, idle for longer than its retransmission timeout
    RESUMED_EARLY = "0-rtt"  # a ticket, and the query goes with it: anybody may replay it
    RESUMED = "resumed"  # a ticket, used for a shorter handshake
    COLD = "cold"


@dataclass(frozen=True)
class Framing:
    """A transport's packets in bytes; `probes`: a timeout sends one packet more (QUIC), where TCP begins again with one.

    An acknowledgement waits for at most `ack_delay_ns`; the first `quick_acks` do not, while the receiver only listens.
    """

    mss_bytes: int
    header_bytes: int
    ack_bytes: int
    least_timer_ns: int
    probes: bool
    ack_delay_ns: int
    quick_acks: int

    @property
    def packet_bytes(self) -> int:
        return self.mss_bytes + self.header_bytes


# 20 IP, 20 TCP, 12 timestamps. Linux adds at least 200 ms to the smoothed round trip (RFC 6298 would have a second in all); it
# acknowledges after TCP_ATO_MIN of 40 ms, or at once TCP_MAX_QUICKACKS times.
TCP = Framing(
    mss_bytes=1448,
    header_bytes=52,
    ack_bytes=52,
    least_timer_ns=200_000_000,
    probes=False,
    ack_delay_ns=40_000_000,
    quick_acks=16,
)
# 20 IP, 8 UDP, 1 + 8 + 2 short header, 8 STREAM frame, 16 tag; an ACK frame of 6 instead of the STREAM frame. RFC 9002:
# the probe timeout is the smoothed round trip, four deviations or 1 ms, and max_ack_delay of 25 ms.
QUIC = Framing(
    mss_bytes=1165,
    header_bytes=63,
    ack_bytes=61,
    least_timer_ns=26_000_000,
    probes=True,
    ack_delay_ns=25_000_000,
    quick_acks=0,
)
SYN_BYTES = 60


@dataclass(frozen=True)
class Handshake:
    """TLS 1.3's messages in bytes; `tickets_bytes` come down once Finished is there."""

    hello_bytes: int
    server_bytes: int
    finished_bytes: int
    tickets_bytes: int


FULL = Handshake(hello_bytes=517, server_bytes=372 + 1900, finished_bytes=80, tickets_bytes=510)
WITH_TICKET = Handshake(hello_bytes=565, server_bytes=241, finished_bytes=80, tickets_bytes=255)


@dataclass(frozen=True)
class Stack:
    """HTTP over a transport; heads in bytes, of the first exchange on a connection and of later ones."""

    name: str
    framing: Framing
    tls: bool
    first_head_bytes: tuple[int, int]
    later_head_bytes: tuple[int, int]

    def handshake(self, session: Session) -> Handshake | None:
        """Return the messages before the first query, None where there are none."""
        if not self.tls or session is Session.WARM:
            return None
        return FULL if session is Session.COLD else WITH_TICKET

    def hello_bytes(self, handshake: Handshake) -> int:
        """Return the first message's bytes: QUIC fills its packet."""
        return max(handshake.hello_bytes, self.framing.mss_bytes) if self.framing.probes else handshake.hello_bytes

    def message_bytes(self, body_bytes: int, *, down: bool, first: bool) -> int:
        """Return what a body of that size is for the transport: with its head, and sealed."""
        size = body_bytes + (self.first_head_bytes if first else self.later_head_bytes)[down]
        # QUIC seals packets, not messages.
        sealed = self.tls and not self.framing.probes
        return size + RECORD_OVERHEAD_BYTES * -(-size // RECORD_BYTES) if sealed else size


STACKS = {
    stack.name: stack
    for stack in (
        Stack("http1-plain", TCP, False, (275, 145), (275, 145)),
        Stack("http1", TCP, True, (275, 145), (275, 145)),
        # HEADERS and DATA frames of 9 bytes each; before the first: preface, SETTINGS and WINDOW_UPDATE, 64 up, 45 down.
        Stack("http2", TCP, True, (124 + 18 + 64, 77 + 18 + 45), (10 + 18, 6 + 24 + 18)),
        # Frames of 2 to 3 bytes; before the first: the control stream's SETTINGS, 20 each.
        Stack("http3", QUIC, True, (124 + 6 + 20, 77 + 6 + 20), (124 + 6, 77 + 6)),
    )
}
