"""Sightline on the device: a photograph in, an answer out, 64 bytes over the wire.

from sightline_edge import Client

with Client("http://127.0.0.1:8765", api_key="...") as client:
    answer = client.search("photo.jpg")
    print(answer.outcome, [match.id for match in answer.matches])
"""

from sightline_edge.answer import Answer, Outcome
from sightline_edge.client import AsyncClient, Client
from sightline_edge.config import Options
from sightline_edge.device import Device
from sightline_shared.errors import SightlineError
from sightline_shared.protocol import Match

__all__ = ["Answer", "AsyncClient", "Client", "Device", "Match", "Options", "Outcome", "SightlineError"]
