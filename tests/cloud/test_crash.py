"""What was acknowledged survives kill -9, and other processes' changes are found."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from support.service import post_item
from support.tiny_bundle import jpeg, picture

from sightline_edge import Client, Device


class Served:
    """A real `sightline serve` in its own process."""

    def __init__(self, data: Path, bundle: Path) -> None:
        command = [
            sys.executable,
            "-c",
            "import sys; from sightline_shared.cli import main; sys.exit(main(sys.argv[1:]))",
        ]
        self.process = subprocess.Popen(
            [*command, "serve", "--data", str(data), "--bundle", str(bundle), "--port", "0"],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self.key = self.url = ""
        while not self.url:
            line = self.process.stderr.readline()
            if not line:
                raise AssertionError("serve ended: " + "".join(self.lines))
            self.lines.append(line)
            if found := re.search(r"shown this once: (\S+)", line):
                self.key = found[1]
            if found := re.search(r"serves .* on (http://\S+) ", line):
                self.url = found[1]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def terminate(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=30)
        return self.process.returncode, out


def wait_until_up(url: str) -> None:
    for _ in range(200):
        try:
            if httpx.get(url + "/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.02)
    raise AssertionError(f"{url} did not come up")


@pytest.fixture
def serve(tmp_path: Path, tiny_folder: Path):
    begun: list[Served] = []

    def begin() -> Served:
        served = Served(tmp_path / "data", tiny_folder)
        begun.append(served)
        wait_until_up(served.url)
        return served

    yield begin
    for served in begun:
        if served.process.poll() is None:
            served.kill()


def test_acknowledged_changes_survive_kill_9(serve, tiny) -> None:
    first = serve()
    headers = {"authorization": f"Bearer {first.key}"}
    with httpx.Client(base_url=first.url, headers=headers) as http:
        for number in range(12):
            assert post_item(http, f"i{number}", jpeg(picture(number)), {}).status_code == 200
        for number in (3, 5):
            assert http.delete(f"/v1/items/i{number}").status_code == 200
        first.kill()
    second = serve()
    assert not second.key, "the key is shown once, at the very first start"
    device = Device.load(tiny)
    with Client(second.url, api_key=first.key, device=device) as client:
        for number in range(12):
            ids = [match.id for match in client.search(picture(number)).matches if match.score > 0.7]
            assert ids == ([] if number in (3, 5) else [f"i{number}"])


def test_serve_stops_cleanly_on_sigterm(serve) -> None:
    status, out = serve().terminate()
    assert status == 0 and "Traceback" not in out


def test_a_second_service_on_the_port_is_told_so(serve, tmp_path: Path, tiny_folder: Path) -> None:
    port = httpx.URL(serve().url).port
    command = [sys.executable, "-c", "import sys; from sightline_shared.cli import main; sys.exit(main(sys.argv[1:]))"]
    done = subprocess.run(
        [
            *command,
            "serve",
            "--data",
            str(tmp_path / "two"),
            "--bundle",
            str(tiny_folder),
            "--port",
            str(port),
            "--json",
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == "E_PORT_IN_USE" and "Traceback" not in done.stderr


def test_what_another_process_indexes_is_found_within_a_second(serve, tmp_path: Path, tiny, tiny_folder: Path) -> None:
    served = serve()
    photos = tmp_path / "photos" / "shoes"
    photos.mkdir(parents=True)
    for number in range(5):
        picture(number).save(photos / f"{number}.png")
    (photos / "broken.jpg").write_bytes(b"not a picture")
    command = [sys.executable, "-c", "import sys; from sightline_shared.cli import main; sys.exit(main(sys.argv[1:]))"]
    words = ["index", "add", str(tmp_path / "photos"), "--data", str(tmp_path / "data"), "--bundle", str(tiny_folder)]
    done = subprocess.run([*command, *words, "--json"], capture_output=True, text=True, check=True, env=os.environ)
    report = json.loads(done.stdout)
    assert (report["added"], report["skipped"], report["items"]) == (5, 1, 5)
    assert report["problems"][0]["code"] == "E_IMAGE_UNREADABLE"
    time.sleep(1.0)
    with Client(served.url, api_key=served.key, device=Device.load(tiny)) as client:
        best = client.search(picture(3)).matches[0]
        assert best.id == "shoes/3.png" and best.metadata["category"] == "shoes"
        remove = ["index", "remove", "shoes/3.png", "--data", str(tmp_path / "data"), "--bundle", str(tiny_folder)]
        subprocess.run([*command, *remove], capture_output=True, check=True)
        time.sleep(1.0)
        assert "shoes/3.png" not in [match.id for match in client.search(picture(3)).matches]
