"""The report's pictures of a `bench network` result: drawn from what the result says, and only where it says something."""

import argparse
import base64
import io

from PIL import Image

from sightline_bench.commands import network
from sightline_bench.report.network import pictures
from sightline_bench.report.sections import section


def result(*words: str) -> dict:
    parser = argparse.ArgumentParser()
    network.add_arguments(parser)
    return network.run(parser.parse_args(["--packs", "none", "--situations", "warm,idle", *words]))


def test_a_network_result_has_its_pictures() -> None:
    made = result("--profiles", "lte,lte-walking", "--strategies", "code,photo 40 KB,pocket", "--n", "20")
    drawn = list(pictures(made))
    assert [caption.partition(":")[0] for _, caption in drawn][2] == "LTE that varies (like Verizon 2012)"
    for png, _ in drawn:
        picture = Image.open(io.BytesIO(png))
        assert picture.width > 600 and len(picture.convert("RGB").getcolors(maxcolors=1 << 20) or []) > 20
    shown = section("network.json", made)
    urls = [base64.b64decode(each.url.partition(",")[2]) for each in shown.pictures]
    assert (
        urls[:3] == [png for png, _ in drawn] and len(shown.pictures) == 5
    )  # and every raw measurement, by way to ask
    assert any(row.name == "networks > lte > warm > code > final > ms > p50" for row in shown.rows)


def test_without_a_network_that_changes_there_is_no_timeline() -> None:
    assert len(list(pictures(result("--profiles", "lte", "--strategies", "code", "--n", "3")))) == 2
