"""The pocket beside the service: shares written out slowly, of questions that both are asked in one order."""

import dataclasses

import numpy as np
import pytest

from sightline_bench.packs import Photo
from sightline_bench.quality.embeddings import Embedded
from sightline_bench.quality.pocket import COLUMNS, MODELS, THRESHOLDS, pocket
from sightline_bench.quality.questions import Asker, ask_everything
from sightline_bench.quality.tasks import Suite, Task
from sightline_edge import Device
from sightline_edge.quality import Quality
from sightline_shared.protocol import Decision
from sightline_shared.verdict import judge


@pytest.fixture(scope="module")
def asked(tmp_path_factory) -> tuple[Suite, Asker]:
    device = Device.load()  # its codec and models are the shipped ones
    rng, folder = np.random.default_rng(4), tmp_path_factory.mktemp("photos")
    centres = device.codec.decode(rng.integers(0, 256, (12, device.codec.code_size), dtype=np.uint8))
    photos, embedded = [], {}
    for n in range(96):
        vector = centres[n % 12] + 0.04 * (n % 5) * rng.normal(size=device.codec.dim).astype(np.float32)
        label = device.heads.semantic.labels[n % 3]
        photo = Photo(folder / f"{n}.jpg", "test", "shop", label, f"thing {n % 12}", "", "")
        photos.append(photo)
        embedded[photo.path] = Embedded(vector / np.linalg.norm(vector), None, Quality(1.0, 1.0))
    strangers = tuple(dataclasses.replace(photo, coarse="drawn", domain="else") for photo in photos[90:])
    suite = Suite("made up", {"shop": tuple(photos[:48])}, (Task("shop", "shop", tuple(photos[48:90])),), strangers)
    return suite, Asker(device, embedded)


def test_the_shares_are_those_of_the_verdicts_question_by_question(asked) -> None:
    suite, asker = asked
    service = ask_everything(suite, asker)
    tables = pocket(suite, asker, service)
    mine = ask_everything(suite, dataclasses.replace(asker, pocket=True))
    assert [(one.kind, one.group) for one in mine] == [(one.kind, one.group) for one in service]
    limits = asker.device.bundle.manifest.decision
    for way, models in ((THRESHOLDS, None), (MODELS, asker.device.calibration)):
        for kind, name in (("known", "known: shop of photographs"), ("near", "near: shop of photographs")):
            pairs = [
                (judge(one.evidence, models, limits).decision, judge(two.evidence, asker.device.calibration, limits).decision)
                for one, two in zip(mine, service, strict=True)
                if one.kind == kind
            ]  # fmt: skip
            row = tables[name][way]
            assert row[COLUMNS[0]].n == len(pairs) == 42
            assert row[COLUMNS[0]].value == pytest.approx(np.mean([one != two for one, two in pairs]))
            assert row[COLUMNS[1]].value == pytest.approx(
                np.mean([one is Decision.FOUND and two is Decision.UNSURE for one, two in pairs])
            )
            assert row[COLUMNS[3]].value == pytest.approx(np.mean([one is Decision.FOUND for one, _ in pairs]))


def test_a_pockets_query_is_no_code_and_its_items_are(asked) -> None:
    suite, asker = asked
    query, gallery = suite.tasks[0].queries[0], suite.galleries["shop"]
    (one,) = dataclasses.replace(asker, pocket=True).ask((query,), gallery, "known", "photographs")
    codes = asker.device.codec.encode(np.stack([asker.embedded[photo.path].int8 for photo in gallery]))
    items = asker.device.codec.decode(codes)
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    assert one.evidence.cosine == pytest.approx(float((items @ asker.embedded[query.path].int8).max()), abs=1e-5)
