"""Sightline on the device: a photograph in, an answer out, 64 bytes over the wire.

from sightline_edge import Client

with Client("http://127.0.0.1:8765", api_key="...") as client:
    answer = client.search("photo.jpg")
    print(answer.outcome, [match.id for match in answer.matches])
"""

from sightline_edge.answer import Answer, Outcome
from sightline_edge.async_client import AsyncClient
from sightline_edge.burst import best_of, best_of_stream
from sightline_edge.cache import AnswerCache
from sightline_edge.client import Client
from sightline_edge.config import Options
from sightline_edge.device import Device
from sightline_edge.frame import Box, Tap
from sightline_edge.pocket import PocketIndex
from sightline_edge.session import Session
from sightline_shared.errors import SightlineError
from sightline_shared.protocol import Match

__all__ = [
    "Answer",
    "AnswerCache",
    "AsyncClient",
    "Box",
    "Client",
    "Device",
    "Match",
    "Options",
    "Outcome",
    "PocketIndex",
    "Session",
    "SightlineError",
    "Tap",
    "best_of",
    "best_of_stream",
]
