"""The head of a catalogue in PostgreSQL: the same statements, the same head and the same deltas."""

import json

from support.catalogue import GENERATION, new_item
from support.postgres import new_schema, postgres_server

from sightline_cloud.catalog.database import Database
from sightline_cloud.catalog.store import Store
from sightline_cloud.pocket.head import Wanted, read_head
from sightline_cloud.pocket.pockets import Pockets
from sightline_cloud.settings import Settings
from sightline_shared.pocket_file import Part


def test_a_head_in_postgres_is_read_and_followed(tmp_path) -> None:
    with postgres_server() as server:
        database = Database(new_schema(server), [GENERATION])
        try:
            store = Store(database)
            store.add("default", [new_item(f"i{n}", available=n != 4, title=f"Item {n}") for n in range(6)])
            store.add("another", [new_item("other")])
            wanted = Wanted("default", 3, ("i1", "nobody", "i4"), ("available",))
            head = read_head(database, database.generation(), wanted)
            assert list(map(json.loads, head.pocket.columns[0])) == ["i1", "i3", "i5"]
            assert head.listed.tolist() == [True, False, False]
            service = Pockets(store, Settings(data_dir=tmp_path))
            whole = Part.from_bytes(service.answer("default", GENERATION.pairing_id, "")).onto(None)
            store.remove("default", ["i0"])
            store.update_metadata("default", "i4", {"available": True})
            part = Part.from_bytes(service.answer("default", GENERATION.pairing_id, whole.version))
            assert list(map(json.loads, part.onto(whole).columns[0])) == ["i1", "i2", "i3", "i4", "i5"]
            assert not part.whole and len(part.codes) == 1
        finally:
            database.close()
