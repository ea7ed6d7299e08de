"""`bench answers`: the late proxy passes everything on, no sooner than it says; and the command's table is whole."""

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

from sightline_bench.edge.slow_network import Profile, late
from sightline_shared.cli import main


@pytest.mark.parametrize("size", [1, 100, 300_000])
def test_what_goes_in_comes_out_and_no_sooner_than_the_network_allows(size: int) -> None:
    sent = os.urandom(size)
    profile = Profile("slow", 60, 20.0, 20.0)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(size))
        await writer.drain()
        writer.close()

    async def ask() -> tuple[bytes, float]:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with late(profile, "127.0.0.1", server.sockets[0].getsockname()[1]) as port:
            start = time.perf_counter()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            got = await reader.read(-1) if size < 2 else await reader.readexactly(size)
            spent = time.perf_counter() - start
            writer.close()
            await writer.wait_closed()
        server.close()
        return got, spent

    got, spent_s = asyncio.run(ask())
    assert got == sent
    # One round trip to connect, one for the exchange, and the bytes' time on the line there (and back behind them).
    assert spent_s >= 0.98 * (0.060 + 0.060 + 8 * size / 20e6)


def test_a_service_that_is_gone_ends_the_connection(unused: int = 9) -> None:
    async def ask() -> bytes:
        async with late(Profile("slow", 1, 10, 10), "127.0.0.1", unused) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"x")
            got = await asyncio.wait_for(reader.read(), 20)
            writer.close()
            await writer.wait_closed()
            return got

    assert asyncio.run(ask()) == b""


def test_the_command_shows_first_and_final_answers(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.delenv("SIGHTLINE_PACKS", raising=False)
    out = tmp_path / "answers.json"
    assert main(["bench", "answers", "--queries", "2", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "EDGE" in said and "offline" in said
    result = json.loads(out.read_text())
    networks = result["networks"]
    assert networks["offline"]["service_did_not_answer"] == 2 == networks["offline"]["first_from_the_device"]
    first, final = (result["samples"][f"EDGE (WebPageTest): {part}"] for part in ("first_ms", "final_ms"))
    assert min(final) >= 800 and all(one <= last for one, last in zip(first, final, strict=True))
    assert main(["bench", "answers", "--queries", "0"]) == 1
