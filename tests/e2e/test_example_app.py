"""The example app, run as its users run it: online, from the pocket index, and with nothing at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.tiny_bundle import picture

from sightline_shared.cli import main

APP = Path(__file__).resolve().parents[2] / "edge" / "examples" / "terminal.py"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, number in (("1.jpg", 4), ("2.jpg", 4), ("3.jpg", 6)):
        picture(number, view=1).save(folder / name, quality=95)
    (folder / "4.jpg").write_bytes(b"no picture")
    return folder


def run(folder: Path, bundle: Path, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, str(APP), str(folder), "--once", *arguments],
        capture_output=True, text=True, env={**os.environ, "SIGHTLINE_BUNDLE": str(bundle)},
    )  # fmt: skip
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    return done.stdout.splitlines()


def test_online_and_then_offline(service, tiny_folder: Path, photos: Path, tmp_path: Path, capsys) -> None:
    pocket = tmp_path / "pocket.slp"
    online = run(photos, tiny_folder, "--url", service.url, "--api-key", service.key, "--pocket", str(pocket))
    assert online[0].startswith("pocket: ") and " 0 items" not in online[0]
    text = "\n".join(online)
    assert "Item 4" in text and "[pocket, asking the service]" in text and "[cloud]" in text and "[cache]" in text
    assert "E_IMAGE_UNREADABLE" in online[-1]

    offline = run(photos, tiny_folder, "--url", "http://127.0.0.1:9", "--pocket", str(pocket))
    assert "not brought up to date (E_SERVICE_UNREACHABLE)" in offline[0]
    assert "[pocket, E_SERVICE_UNREACHABLE]" in "\n".join(offline) and "Item 4" in "\n".join(offline)

    question = ["query", str(photos / "1.jpg"), "--url", "http://127.0.0.1:9", "--bundle", str(tiny_folder)]
    assert main([*question, "--pocket", str(pocket)]) == 0
    said = capsys.readouterr().out
    assert "decided by the pocket) [E_SERVICE_UNREACHABLE]" in said and "Item 4" in said
    assert main(question) == 1


def test_with_nothing_at_all_each_picture_gets_an_error(tiny_folder: Path, photos: Path) -> None:
    said = run(photos, tiny_folder, "--url", "http://127.0.0.1:9")
    assert sum("E_SERVICE_UNREACHABLE" in line for line in said) == 3
