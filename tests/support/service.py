"""A running service with what a test asks it for."""

import ssl
from dataclasses import dataclass

import httpx
import msgpack

from sightline_cloud.engine import Engine
from sightline_edge import Client, Device
from support.tiny_bundle import jpeg, picture

# Made once: httpx would read all certificates of the machine for every client, which takes 30 ms.
TLS = ssl.create_default_context()


@dataclass
class Service:
    """The service with what a test asks it for."""

    url: str
    engine: Engine
    device: Device
    key: str
    admin_url: str = ""

    def http(self, key: str | None = "own") -> httpx.Client:
        headers = {} if key is None else {"authorization": f"Bearer {self.key if key == 'own' else key}"}
        return httpx.Client(base_url=self.url, headers=headers, verify=TLS)

    def operator(self, key: str | None = "own") -> httpx.Client:
        """As `http`, at the operators' port."""
        http = self.http(key)
        http.base_url = httpx.URL(self.admin_url)
        return http

    def client(self, key: str = "own") -> Client:
        return Client(self.url, api_key=self.key if key == "own" else key, device=self.device)

    def new_key(self, name: str, tenant: str = "default", *scopes: str) -> str:
        return self.engine.keys.add(name, tenant=tenant, scopes=scopes or ("search", "rerank", "write"))

    def add(self, number: int, key: str = "own", **metadata: object) -> httpx.Response:
        with self.http(key) as http:
            return post_item(http, f"item/{number}", jpeg(picture(number)), metadata)


def post_item(http: httpx.Client, item_id: str, image: bytes, metadata: dict[str, object]) -> httpx.Response:
    body = msgpack.packb({"id": item_id, "image": image, "metadata": metadata})
    return http.post("/v1/items", content=body, headers={"content-type": "application/msgpack"})
