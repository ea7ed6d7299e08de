"""TLS 1.3: OpenSSL's own messages are as large as the model takes them to be, and the model is held against them."""

import ssl

import pytest

from sightline_bench.netsim.agreement import TLS, agreement
from sightline_bench.netsim.profiles import AWAKE, Profile
from sightline_bench.netsim.secure import NAME, server_context
from sightline_bench.netsim.stack import FULL, RECORD_OVERHEAD_BYTES, WITH_TICKET
from sightline_bench.netsim.tunnel import available

NEAR = Profile("near", "Near", "made for a test", 10.0, 100.0, 100.0, 0.0, 100, None, "", AWAKE)


class End:
    """One end of TLS in memory; `sent` takes what it has to say."""

    def __init__(self, context: ssl.SSLContext, **how) -> None:
        self.come, self.gone = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.come, self.gone, **how)

    def greets(self) -> bool:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def sent(self, other: "End") -> int:
        data = self.gone.read()
        other.come.write(data)
        return len(data)


def handshake(phone: End, service: End) -> list[int]:
    """The bytes of hello, of the service's answer, of Finished, and of the tickets."""
    assert not phone.greets()
    sizes = [phone.sent(service)]
    assert not service.greets()
    sizes.append(service.sent(phone))
    assert phone.greets()
    sizes.append(phone.sent(service))
    assert service.greets()
    return [*sizes, service.sent(phone)]


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    serving, trusted = server_context()
    return serving, ssl.create_default_context(cadata=trusted)


def messages(each) -> list[int]:
    return [each.hello_bytes, each.server_bytes, each.finished_bytes, each.tickets_bytes]


def test_messages_are_as_large_as_the_model_says() -> None:
    serving, trusting = contexts()
    phone, service = End(trusting, server_hostname=NAME), End(serving, server_side=True)
    assert handshake(phone, service) == pytest.approx(messages(FULL), rel=0.03)
    assert phone.tls.version() == "TLSv1.3"
    phone.tls.write(bytes(1000))
    assert phone.sent(service) == 1000 + RECORD_OVERHEAD_BYTES
    with pytest.raises(ssl.SSLWantReadError):  # what came were the tickets
        phone.tls.read()
    again, serves = End(trusting, server_hostname=NAME, session=phone.tls.session), End(serving, server_side=True)
    assert handshake(again, serves) == pytest.approx(messages(WITH_TICKET), rel=0.03)
    assert again.tls.session_reused


@pytest.mark.skipif(bool(available()), reason=available())
def test_the_three_sessions_are_held_against_the_model() -> None:
    found, samples = agreement(TLS, [NEAR], [96], 2, 0, lambda: None)
    assert {name: len(ms) for name, ms in samples.items()} == {
        f"near {kind} 96 B ms": 2 for kind in ("cold", "resumed", "warm")
    }
    assert found["near"]["refused"] or set(found["near"]["cells"]) == {"cold 96 B", "resumed 96 B", "warm 96 B"}
