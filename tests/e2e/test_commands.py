"""The commands as a person runs them: a service, an index, a query, the doctor, keys."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.tiny_bundle import make_tiny_bundle, picture

from sightline_shared.cli import main

COMMAND = [sys.executable, "-c", "import sys; from sightline_shared.cli import main; sys.exit(main(sys.argv[1:]))"]


def sightline(*words: str, ok: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment}
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, env=env, timeout=120)
    assert "Traceback" not in done.stderr
    if ok:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture
def shop(tmp_path: Path, tiny_folder: Path):
    """A data folder with six photographs, and the environment that names it."""
    photos = tmp_path / "photos"
    photos.mkdir()
    rows = ["path,id,title,category"]
    for number in range(6):
        picture(number).save(photos / f"{number}.png")
        rows.append(f"{number}.png,sku-{number},Product {number},things")
    (photos / "manifest.csv").write_text("\n".join(rows) + "\n")
    environment = {"SIGHTLINE_DATA": str(tmp_path / "data"), "SIGHTLINE_BUNDLE": str(tiny_folder)}
    sightline("index", "add", str(photos / "manifest.csv"), **environment)
    return environment


@pytest.fixture
def served(shop):
    """The same behind a running service: its environment with URL and key."""
    key = sightline("key", "add", "tester", **shop).stdout.strip()
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0"], stderr=subprocess.PIPE, text=True, env={**os.environ, **shop}
    )
    for line in process.stderr:
        if found := re.search(r"serves .* on (http://\S+) ", line):
            break
    yield {**shop, "SIGHTLINE_URL": found[1], "SIGHTLINE_API_KEY": key}
    process.terminate()
    process.communicate(timeout=30)


def test_index_stats_keys_and_removal(shop) -> None:
    stats = json.loads(sightline("index", "stats", "--json", **shop).stdout)
    assert stats["tenants"] == {"default": 6} and stats["code_bytes"] == 64
    key = sightline("key", "add", "app", "--scopes", "search", "--tenant", "t2", **shop).stdout.strip()
    assert re.fullmatch(r"sk_[\w-]{32}", key)
    listed = sightline("key", "list", **shop).stdout
    assert "app" in listed and "t2" in listed and key not in listed
    sightline("key", "revoke", "app", "--tenant", "t2", **shop)
    assert "revoked" in sightline("key", "list", **shop).stdout
    again = sightline("key", "revoke", "app", "--tenant", "t2", ok=False, **shop)
    assert again.returncode == 1 and "E_KEY_UNKNOWN" in again.stderr
    assert "1 items removed" in sightline("index", "remove", "sku-2", **shop).stdout
    gone = sightline("index", "remove", "sku-2", "--json", ok=False, **shop)
    assert gone.returncode == 1 and json.loads(gone.stdout)["unknown"] == ["sku-2"]


def test_a_query_from_the_command_line(served, tmp_path: Path) -> None:
    photo = tmp_path / "asked.png"
    picture(4, view=1).save(photo)
    text = sightline("query", str(photo), **served).stdout
    assert "found (decided by the cloud)" in text and "Product 4" in text and "102 bytes sent" in text
    answer = json.loads(sightline("query", str(photo), "-k", "2", "--json", **served).stdout)["answers"][0]
    assert answer["matches"][0]["id"] == "sku-4" and len(answer["matches"]) == 2
    mixed = sightline("query", str(photo), str(tmp_path / "missing.jpg"), "--json", ok=False, **served)
    assert mixed.returncode == 1
    assert [("error" in one) for one in json.loads(mixed.stdout)["answers"]] == [False, True]


def test_a_query_with_a_wrong_key_and_without_a_service(served, tmp_path: Path) -> None:
    photo = tmp_path / "asked.png"
    picture(4).save(photo)
    wrong = sightline("query", str(photo), "--api-key", "sk_wrong", ok=False, **served)
    assert wrong.returncode == 1 and "E_KEY_UNKNOWN" in wrong.stderr and not wrong.stdout
    down = sightline("query", str(photo), "--url", "http://127.0.0.1:9", "--json", ok=False, **served)
    assert json.loads(down.stdout)["error"]["code"] == "E_SERVICE_UNREACHABLE"


def test_the_doctor_with_a_service(served, tmp_path: Path) -> None:
    good = sightline("doctor", "--json", **served)
    checks = {check["name"]: check for check in json.loads(good.stdout)["checks"]}
    assert set(checks) == {"python", "packages", "extras", "bundle", "model speed", "service", "api key"}
    assert "pairing" in checks["service"]["detail"] and "accepted" in checks["api key"]["detail"]
    make_tiny_bundle(tmp_path / "other", seed=4, sensitive=True)
    bad = sightline("doctor", "--bundle", str(tmp_path / "other"), "--api-key", "sk_x", ok=False, **served)
    assert bad.returncode == 1 and "FAIL  service" in bad.stdout and "FAIL  api key" in bad.stdout


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda folder: folder / "nowhere", "E_MANIFEST_INVALID"),
        (lambda folder: folder, "E_MANIFEST_INVALID"),
        (lambda folder: write(folder / "m.csv", "name\nx\n"), "E_MANIFEST_INVALID"),
        (lambda folder: write(folder / "m.csv", ""), "E_MANIFEST_INVALID"),
        (lambda folder: write(folder / "m.csv", "path,id\na.jpg,1\nb.jpg,1\n"), "E_MANIFEST_INVALID"),
        (lambda folder: write(folder / "m.csv", b"path\n\xff\xfe\n"), "E_MANIFEST_INVALID"),
        (lambda folder: write(folder / "m.csv", "path\nmissing.jpg\n"), "E_INPUT"),
    ],
)
def test_what_cannot_be_indexed_is_named(make, code: str, tmp_path: Path, tiny_folder: Path, capsys) -> None:
    (tmp_path / "source").mkdir()
    source = make(tmp_path / "source")
    words = ["index", "add", str(source), "--data", str(tmp_path / "d"), "--bundle", str(tiny_folder), "--json"]
    assert main(words) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == code


def test_a_data_folder_that_cannot_be_written_is_named(tmp_path: Path, tiny_folder: Path, capsys) -> None:
    (tmp_path / "file").write_text("in the way")
    assert main(["index", "stats", "--data", str(tmp_path / "file"), "--bundle", str(tiny_folder), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "E_STORE_UNAVAILABLE"


def test_an_internal_error_is_told_without_a_traceback(monkeypatch, capsys) -> None:
    from sightline_edge.commands import bundle_show

    def broken(args):
        raise ZeroDivisionError("x")

    monkeypatch.setattr(bundle_show, "run", broken)
    assert main(["bundle", "show"]) == 1
    said = capsys.readouterr()
    assert "[E_INTERNAL]" in said.err and "SIGHTLINE_DEBUG" in said.err and "Traceback" not in said.err


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path
