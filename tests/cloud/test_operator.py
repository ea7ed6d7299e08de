"""What an operator has done to the indexes: by command on a data folder, and by a running service."""

import json
from pathlib import Path

import pytest
from support.crowd import fill, unit_vectors
from support.service import Service
from support.tiny_bundle import picture

from sightline_cloud.embedded import EmbeddedService
from sightline_cloud.engine import Engine
from sightline_cloud.settings_file import read_settings
from sightline_cloud.shards.pool import Ask
from sightline_edge import Device
from sightline_shared.budget import Budget
from sightline_shared.bundle import Bundle
from sightline_shared.cli import main
from sightline_shared.errors import StoreUnavailable
from sightline_shared.where import Where

COUNT = 1200


@pytest.fixture
def folder(tmp_path: Path, tiny: Bundle) -> Path:
    """A data folder whose tenant is large enough for snapshots."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "settings.toml").write_text("ivf_min_vectors = 1000\nport = 0\n")
    engine = Engine(read_settings(data), tiny)
    fill(engine, COUNT)
    engine.close()
    return data


@pytest.fixture
def sightline(folder: Path, tiny_folder: Path, capsys):
    """Runs one command on the folder and returns its exit status and JSON."""

    def run(*words: str) -> tuple[int, dict]:
        status = main([*words, "--data", str(folder), "--bundle", str(tiny_folder), "--json"])
        return status, json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def serve(folder: Path, tiny: Bundle):
    """Starts the service over the folder."""
    running: list[EmbeddedService] = []

    def begin(**settings: object) -> Service:
        running.append(EmbeddedService(read_settings(folder, **settings), tiny).start())
        engine = running[-1].engine
        key = engine.keys.add(f"operator{len(engine.keys.list())}", scopes=("search", "rerank", "write", "admin"))
        return Service(running[-1].url, engine, Device.load(tiny), key, running[-1].admin_url)

    begin.stop = lambda: [running.pop().stop() for _ in range(len(running))]  # type: ignore[attr-defined]
    yield begin
    begin.stop()  # type: ignore[attr-defined]


def nearest(engine: Engine, number: int, tenant: str = "default") -> int:
    """The pk that is nearest to the vector of `crowd/<number>`."""
    vector = unit_vectors(COUNT, engine.primary.codec.dim)[number : number + 1]
    return int(engine.primary.indexes.search(Ask(tenant, vector, 3, Where(), Budget())).pks[0, 0])


def test_build_compact_and_rollback_by_command_lose_nothing(sightline, folder: Path, tiny: Bundle) -> None:
    status, built = sightline("index", "build")
    assert status == 0
    (line,) = built["done"]
    assert (line["kind"], line["vectors"], line["delta"], line["tombstones"]) == ("ivf", COUNT, 0, 0)
    _, stats = sightline("index", "stats")
    (snapshot,) = stats["snapshots"]
    assert (snapshot["vectors"], snapshot["answers"], snapshot["tenant"]) == (COUNT, True, "default")
    assert snapshot["name"] == "000001", "what opening the indexes built is not built twice"
    engine = Engine(read_settings(folder), tiny)
    engine.store.remove("default", [f"crowd/{number}" for number in range(50)])
    fill(engine, 100, first=COUNT)
    engine.close()
    _, compacted = sightline("index", "compact", "--tenant", "default")
    assert (compacted["done"][0]["vectors"], compacted["done"][0]["delta"]) == (COUNT + 50, 0)
    status, back = sightline("index", "rollback")
    assert (status, back["done"][0]["snapshot"], back["done"][0]["vectors"]) == (0, "000001", COUNT + 50)
    assert back["done"][0]["delta"] == 100 and back["done"][0]["tombstones"] == 50
    _, stats = sightline("index", "stats")
    assert [line["answers"] for line in stats["snapshots"]] == [True, False]
    assert sightline("index", "verify") == (0, {"ok": True, "problems": []})
    again, refused = sightline("index", "rollback")
    assert (again, refused["error"]["code"]) == (1, "E_NO_EARLIER_SNAPSHOT")


def test_promote_says_what_a_budget_would_hold(sightline, folder: Path) -> None:
    _, free = sightline("index", "promote")
    assert free["budget_bytes"] is None and free["done"][0]["lists_in_ram"] == free["done"][0]["lists"]
    (folder / "settings.toml").write_text("ivf_min_vectors = 1000\nindex_ram_bytes = 0\n")
    _, tight = sightline("index", "promote")
    assert tight["budget_bytes"] == 0 and tight["done"][0]["lists_in_ram"] == 0
    assert tight["done"][0]["ram_bytes"] < free["done"][0]["ram_bytes"]


def test_damage_is_named_by_verify_and_stats_and_nothing_is_changed(sightline, folder: Path) -> None:
    sightline("index", "build")
    (lists,) = folder.glob("index/*/0-of-1/*/000001/lists*")
    data = bytearray(lists.read_bytes())
    data[len(data) // 2] ^= 1
    lists.write_bytes(bytes(data))
    status, found = sightline("index", "verify")
    assert status == 1 and not found["ok"] and lists.name in found["problems"][0]
    (manifest,) = folder.glob("index/*/0-of-1/*/000001/manifest.json")
    manifest.write_text("{")
    _, stats = sightline("index", "stats")
    assert "manifest.json" in stats["snapshots"][0]["damaged"]
    assert manifest.read_text() == "{"


def test_a_command_that_changes_indexes_is_refused_while_a_service_runs(sightline, serve) -> None:
    serve()
    for words in (["build"], ["compact"], ["promote"], ["rollback"], ["erase", "crowd/1"]):
        status, refused = sightline("index", *words)
        assert (status, refused["error"]["code"]) == (1, "E_STORE_UNAVAILABLE")
        assert "the service, process" in refused["error"]["message"] and "--url" in refused["error"]["hint"]
    assert sightline("index", "verify")[0] == 0 and sightline("index", "stats")[1]["tenants"] == {"default": COUNT}
    serve.stop()
    assert sightline("index", "promote")[0] == 0


def test_a_second_service_on_the_folder_is_refused(serve, folder: Path, tiny: Bundle) -> None:
    serve()
    with pytest.raises(StoreUnavailable, match=r"nobody at work on its index files, got the service, process \d+"):
        EmbeddedService(read_settings(folder), tiny)


def test_the_running_service_does_it_for_the_keys_tenant(serve, capsys) -> None:
    service = serve(housekeeping_seconds=3600)
    fill(service.engine, 60, first=COUNT)
    service.engine.store.remove("default", ["crowd/0", "crowd/1"])
    service.engine.catch_up()

    def ask(verb: str, *words: str) -> dict:
        status = main(["index", verb, *words, "--url", service.admin_url, "--api-key", service.key, "--json"])
        got = json.loads(capsys.readouterr().out)
        assert status == 0, got
        return got

    (line,) = ask("stats")["indexes"]
    assert (line["vectors"], line["delta"], line["tombstones"]) == (COUNT + 58, 60, 2)
    assert line["ram_bytes_a_vector"] > 0 and line["ssd_bytes_a_vector"] > 0 and line["snapshots"] == ["000001"]
    assert ask("compact")["done"][0]["delta"] == 0
    assert nearest(service.engine, 7) == 8
    assert ask("rollback")["done"][0]["delta"] == 60
    assert ask("build")["done"][0]["vectors"] == COUNT + 58
    assert ask("promote")["budget_bytes"] is None
    assert ask("verify") == {"ok": True, "problems": []}
    assert nearest(service.engine, 7) == 8
    stats = ask("stats")
    assert stats["indexes"][0]["ram_probes"] > 0 and {"hits", "misses"} <= set(stats["cache"])
    assert main(["index", "stats", "--url", service.admin_url, "--api-key", service.key]) == 0
    assert "lists in RAM" in capsys.readouterr().out


def test_an_operators_endpoints_need_the_scope_and_keep_to_the_tenant(serve, capsys) -> None:
    service = serve(housekeeping_seconds=3600)
    plain = service.engine.keys.add("plain")
    other = service.engine.keys.add("other", tenant="shop-2", scopes=("admin",))
    posts = ("build", "compact", "promote", "rollback", "verify", "erase")
    with service.operator(plain) as http:
        refused = [http.get("/v1/admin/stats"), *(http.post(f"/v1/admin/{verb}") for verb in posts)]
        assert {response.json()["code"] for response in refused} == {"E_SCOPE_MISSING"}
    with service.operator(None) as http:
        assert http.post("/v1/admin/compact").status_code == 401
    with service.operator(other) as http:
        assert http.get("/v1/admin/stats").json()["indexes"] == []
        unknown = http.post("/v1/admin/compact")
        assert unknown.status_code == 400 and "default" not in unknown.text
        gone = http.post("/v1/admin/erase", json={"ids": ["crowd/1"]}).json()
        assert gone["found"] == [] and gone["unknown"] == ["crowd/1"]
    assert service.engine.store.counts() == {"default": COUNT}
    for body in (b"", b"[]", b'{"ids": []}', b'{"ids": [1]}', b'{"ids": "crowd/1"}', b"[" * 100_000):
        with service.operator() as http:
            assert http.post("/v1/admin/erase", content=body).json()["code"] == "E_BODY_MALFORMED"
    words = ["index", "compact", "--url", service.admin_url, "--api-key", service.key, "--tenant", "shop-2", "--json"]
    assert main(words) == 1
    assert "the key names the tenant" in json.loads(capsys.readouterr().out)["error"]["message"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "nonsense", "http://[::1"])
def test_a_service_that_cannot_be_asked_is_named(url: str, capsys) -> None:
    assert main(["index", "compact", "--url", url, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "E_SERVICE_UNREACHABLE"


@pytest.mark.parametrize("verb", ["build", "compact", "promote", "rollback", "verify", "erase", "backfill"])
def test_a_mistyped_folder_is_not_made(verb: str, tmp_path: Path, tiny_folder: Path, capsys) -> None:
    picture(1).save(tmp_path / "a.png")
    what = {"erase": ["crowd/1"], "backfill": [str(tmp_path)]}.get(verb, [])
    words = ["index", verb, *what, "--data", str(tmp_path / "typo"), "--bundle", str(tiny_folder), "--json"]
    assert main(words) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "E_STORE_UNAVAILABLE"
    assert not (tmp_path / "typo").exists()


def test_verify_tells_a_genuine_receipt_from_any_other(
    sightline, folder: Path, tmp_path: Path, tiny_folder: Path, capsys
) -> None:
    file = tmp_path / "erased.json"
    sightline("index", "erase", "crowd/3", "crowd/4", "nobody", "--receipt", str(file))
    status, said = sightline("index", "verify", "--receipt", str(file))
    assert (status, said["ok"], said["problems"]) == (0, True, [])
    assert (said["receipt"]["number"], said["receipt"]["found"]) == (1, ["crowd/3", "crowd/4"])
    assert main(["index", "verify", "--receipt", str(file), "--data", str(folder), "--bundle", str(tiny_folder)]) == 0
    assert "genuine: receipt 1" in capsys.readouterr().out
    given = json.loads(file.read_text())
    changed = {
        "found": {**given, "found": ["crowd/3", "crowd/5"]},
        "less": {**given, "found": ["crowd/3"]},
        "digest": {**given, "sha256": "0" * 64},
        "content": {**given, "content": {**given["content"], "begun": "2020-01-01T00:00:00+00:00"}},
        "number": {**given, "content": {**given["content"], "number": 2}},
    }
    for what, receipt in changed.items():
        file.write_text(json.dumps(receipt))
        status, said = sightline("index", "verify", "--receipt", str(file))
        assert (status, said["ok"]) == (1, False) and "the receipt is not of this catalogue" in said["problems"][0], (
            what
        )


@pytest.mark.parametrize(
    "data",
    [
        *(
            b"",
            b"{",
            b"[]",
            b"null",
            b"\xff\xfe",
            b"{}",
            b"[" * 100_000,
            b'{"content": []}',
            b" " * (16 * 1024 * 1024 + 1),
        ),
        *(
            b'{"content": {"number": 1, "ids": []}, "found": [[]]}',
            b'{"content": {"number": 1, "ids": [{}]}, "found": []}',
        ),
        *(
            b'{"content": {"number": 1e99, "ids": []}, "found": []}',
            b'{"content": {"number": true, "ids": []}, "found": []}',
        ),
        b'{"content": {"number": 99999999999999999999, "ids": []}, "found": []}',
    ],
    ids=range(14),
)
def test_a_file_that_is_no_receipt_is_named(data: bytes, tmp_path: Path, capsys) -> None:
    (tmp_path / "receipt").write_bytes(data)
    for file in (tmp_path / "receipt", tmp_path, tmp_path / "missing"):
        assert main(["index", "verify", "--receipt", str(file), "--data", str(tmp_path), "--json"]) == 1
        error = json.loads(capsys.readouterr().out)["error"]
        assert error["code"] == "E_INPUT" and f"{file}: expected a receipt" in error["message"]


def test_a_receipt_is_for_the_catalogue_and_not_for_a_service(tmp_path: Path, capsys) -> None:
    assert main(["index", "verify", "--receipt", "x", "--url", "http://127.0.0.1:9", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "E_CONFIG_INVALID"


def test_a_tenant_without_items_is_named(sightline) -> None:
    status, refused = sightline("index", "compact", "--tenant", "nobody")
    assert (status, refused["error"]["code"]) == (1, "E_CONFIG_INVALID")
