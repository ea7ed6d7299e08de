"""Damaged, swapped and missing files of snapshots: refused and built again from the catalogue, never served, never a crash."""

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from support import index_crashes as crashes
from support.index_crashes import SHOP, items, opened, stored
from support.index_damage import DATA_FILES, OTHER, SETTINGS, Change, flip, make_sound, open_damaged, shop_in

from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.store import Store
from sightline_cloud.index.compact import tenant_folder
from sightline_cloud.index.snapshot import CURRENT, HITS, MANIFEST
from sightline_shared.errors import ChangesPruned, IndexFailed, SnapshotCorrupt


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sound(tmp_path_factory.mktemp("sound") / "data")


def cut(length: Callable[[int], int]) -> Change:
    return lambda path: os.truncate(path, length(path.stat().st_size))


def swapped_with(other: Callable[[Path], Path]) -> Change:
    def change(path: Path) -> None:
        path.write_bytes(other(path).read_bytes())

    return change


def of_other_tenant(path: Path) -> Path:
    folder = tenant_folder(path.parents[2] if path.parent.name.isdecimal() else path.parents[1], OTHER)
    return folder / path.name if path.name in (CURRENT, HITS) else folder / "000001" / path.name


def replaced_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("x")


def linked(path: Path) -> None:
    """The same bytes, by a link: what it leads to would never be erased."""
    elsewhere = path.parents[4] / f"elsewhere {path.name}"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def linked_to(target: str) -> Change:
    def change(path: Path) -> None:
        path.unlink()
        path.symlink_to(target)

    return change


CHANGES: dict[str, Change] = {
    "cut to nothing": cut(lambda size: 0),
    "cut to half": cut(lambda size: size // 2),
    "cut by one byte": cut(lambda size: size - 1),
    "first bit flipped": flip(0),
    "bit flipped in the middle": flip(0.5),
    "last bit flipped": flip(1),
    "garbage after it": lambda path: path.write_bytes(path.read_bytes() + b"garbage"),
    "of the snapshot before": swapped_with(lambda path: path.parents[1] / "000001" / path.name),
    "of another tenant": swapped_with(of_other_tenant),
    "a folder": replaced_by_folder,
    "missing": Path.unlink,
    "a link to the same bytes": linked,
    "a link to nothing": linked_to("/nowhere/at/all"),
    "a link to a device": linked_to("/dev/zero"),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
}

CANNOT_BE_READ = {"a folder", "a link to nothing", "a pipe"}


@pytest.mark.parametrize("name", [*DATA_FILES, MANIFEST, CURRENT, HITS])
def test_a_damaged_file_is_refused_and_the_index_built_again(
    name: str, sound: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    verdicts = {}
    for what, change in CHANGES.items():
        data = Path(shutil.copytree(sound, tmp_path / what / "data"))
        path = shop_in(data) / name if name in (CURRENT, HITS) else shop_in(data) / "000002" / name
        before = path.read_bytes()
        if what == "of the snapshot before" and name in (CURRENT, HITS):
            continue
        change(path)
        same = path.is_file() and not path.is_symlink() and path.read_bytes() == before
        verdicts[what], said = open_damaged(data, caplog, go_on=what in CANNOT_BE_READ)
        if name in DATA_FILES and not same:
            assert verdicts[what] == "refused" and name in said, what
        elif name == MANIFEST and not same:
            assert verdicts[what] == "refused" and "expected" in said, what
        assert not same or verdicts[what] == "harmless"
        shutil.rmtree(data)
    print(f"{name}: {len(verdicts)} cases: {dict(Counter(verdicts.values()))}")
    harmless = {what for what, verdict in verdicts.items() if verdict == "harmless"}
    # The pointer need not end in a line feed, and any sound snapshot will do. Hits only say what to keep in RAM.
    allowed = {CURRENT: {"cut by one byte", "last bit flipped", "of another tenant"}, HITS: set(CHANGES)}
    assert harmless <= allowed.get(name, {"of the snapshot before", "of another tenant"})


def obstacles() -> dict[str, Change]:
    """Things in the places where snapshots are; each is told the tenant's folder."""

    def file_at(name: str) -> Change:
        def change(folder: Path) -> None:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            path.write_bytes(b"in the way")

        return change

    def folder_at(name: str) -> Change:
        return lambda folder: (folder / name / "deeper").mkdir(parents=True)

    def moved(folder: Path, path: Path) -> None:
        path.rename(folder.parents[1] / "elsewhere")
        path.symlink_to(folder.parents[1] / "elsewhere")

    return {
        "a file for the snapshot": file_at("000002"),
        "a file for a later snapshot": file_at("000003"),
        "an empty folder for a later snapshot": folder_at("000003"),
        "a file for the one that is being written": file_at("building"),
        "a folder for the pointer's next": folder_at("CURRENT.new"),
        "a folder for the hits' next": folder_at("hits.new"),
        "a link for the snapshot": lambda folder: moved(folder, folder / "000002"),
        "a link for a later snapshot": lambda folder: (folder / "000003").symlink_to(folder / "000001"),
        "a link for the tenant's folder": lambda folder: moved(folder, folder),
        "a file for the tenant's folder": lambda folder: (shutil.rmtree(folder), folder.write_bytes(b"")),
        "no tenant's folder": shutil.rmtree,
        "another tenant's snapshot": lambda folder: (
            shutil.rmtree(folder / "000002"),
            shutil.copytree(tenant_folder(folder.parent, OTHER) / "000001", folder / "000002"),
        ),
        "the snapshot before under its name": lambda folder: (
            shutil.rmtree(folder / "000002"),
            shutil.copytree(folder / "000001", folder / "000002"),
        ),
    }


@pytest.mark.parametrize("what", obstacles())
def test_whatever_stands_where_snapshots_are_the_index_starts_and_goes_on(
    what: str, sound: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = Path(shutil.copytree(sound, tmp_path / "deeper" / "data"))
    obstacles()[what](shop_in(data))
    verdict, _ = open_damaged(data, caplog, go_on=True)
    must_be_seen = what in ("a file for the snapshot", "a link for the snapshot", "another tenant's snapshot")
    assert verdict == "refused" or not must_be_seen


def test_a_snapshot_of_another_time_is_refused(sound: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The catalogue was put back from a backup: at once, and after others took the same pks and positions."""
    data = Path(shutil.copytree(sound, tmp_path / "data"))
    for file in data.glob("c.sqlite*"):
        file.unlink()
    shutil.copy(sound.parent / "earlier.sqlite", data / "c.sqlite")
    again = Path(shutil.copytree(data, tmp_path / "again"))
    verdict, said = open_damaged(data, caplog)
    assert verdict == "refused" and "expected a change up to" in said
    store = Store(Database(again / "c.sqlite", [crashes.GALLERY]))
    store.add(SHOP, items(*range(1300, 1400)))
    store.database.close()
    verdict, said = open_damaged(again, caplog)
    assert verdict == "refused" and "the catalogue's vectors" in said


def test_a_snapshot_before_the_log_begins_is_built_again_and_none_can_be_rolled_back_to(
    sound: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = Path(shutil.copytree(sound, tmp_path / "data"))
    store, indexes = opened(data, **SETTINGS)
    store.prune_changes(store.position())
    with pytest.raises(ChangesPruned):
        indexes.rollback(SHOP)
    crashes.check_answers(indexes, {SHOP: stored(store, SHOP)}, step=20)
    store.database.close()
    verdict, _ = open_damaged(data, caplog, go_on=True)
    assert verdict == "rebuilt" and "index_rebuild" in [record.message for record in caplog.records]


def test_a_rollback_to_a_damaged_snapshot_is_refused_and_all_stays_as_it_is(sound: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(sound, tmp_path / "data"))
    store, indexes = opened(data, **SETTINGS)
    for name in (*DATA_FILES, MANIFEST):
        path = shop_in(data) / "000001" / name
        kept = path.read_bytes()
        flip(0.5)(path)
        with pytest.raises(SnapshotCorrupt):
            indexes.rollback(SHOP)
        assert (shop_in(data) / CURRENT).read_text() == "000002\n"
        path.write_bytes(kept)
    crashes.check_answers(indexes, {SHOP: stored(store, SHOP)}, step=20)
    assert indexes.rollback(SHOP) == "000001" and indexes.verify() == []
    with pytest.raises(IndexFailed, match="expected a snapshot"):
        indexes.rollback(SHOP)
    crashes.check_answers(indexes, {SHOP: stored(store, SHOP)}, step=20)
    store.database.close()


@pytest.mark.parametrize("manifest", ["sound", "damaged"])
def test_snapshots_of_a_tenant_without_items_go_at_the_next_start_or_erasure(
    manifest: str, sound: Path, tmp_path: Path
) -> None:
    """The service ended between the removal of the last item and the compaction that would have removed them."""
    data = Path(shutil.copytree(sound, tmp_path / "data"))
    store = Store(Database(data / "c.sqlite", [crashes.GALLERY]))
    every = [key for (key,) in store.database.ask("SELECT id FROM items WHERE tenant = ?", (SHOP,))]
    with pytest.raises(ZeroDivisionError):
        store.erase(SHOP, every, {"snapshots": lambda tenant, pks: 1 // 0})
    store.database.close()
    if manifest == "damaged":
        for name in ("000001", "000002"):
            flip(0.5)(shop_in(data) / name / MANIFEST)
    store, indexes = opened(data, **SETTINGS)
    assert shop_in(data).exists() == (manifest == "damaged"), "whose it is cannot be read"
    crashes.check_answers(indexes, {tenant: stored(store, tenant) for tenant in (SHOP, OTHER)}, step=50)
    crashes.erase(store, indexes, [])
    assert not shop_in(data).exists() and tenant_folder(data / "index", OTHER).exists()
    store.add(SHOP, items(*range(1020)))
    indexes.catch_up()
    indexes.compact(SHOP)
    assert indexes.workshop.snapshots(SHOP).names() == ["000001"] and indexes.verify() == []
    crashes.check_answers(indexes, {tenant: stored(store, tenant) for tenant in (SHOP, OTHER)}, step=50)
    store.database.close()


def test_verify_on_the_running_index_names_every_file_that_was_flipped(sound: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(sound, tmp_path / "data"))
    store, indexes = opened(data, **SETTINGS)
    for snapshot in ("000001", "000002"):
        for name in (*DATA_FILES, MANIFEST):
            path = shop_in(data) / snapshot / name
            flip(0.7)(path)
            # Ids are also compared with the catalogue's, as they answer.
            assert any(str(path) in problem for problem in indexes.verify())
            flip(0.7)(path)
    assert indexes.verify() == []
    store.database.close()
