"""Reports carry no path of the machine that made them."""

from sightline_export.report import elided


def test_an_absolute_path_keeps_its_last_part_and_nothing_else_changes() -> None:
    command = "sightline export run /tmp/a/shipped.toml --define X=/tmp/rendered --set 'regression.bundle=\"/old\"'"
    assert elided(command) == (
        "sightline export run .../shipped.toml --define X=.../rendered --set 'regression.bundle=\".../old\"'"
    )
    kept = ["../../runs/rendered", "${PACKS}/weights", "https://host/a/b", "runs/v4", "a / b", "50 % / 20 %", 3, None]
    assert elided(kept) == kept
    assert elided({"source": ({"folder": "/home/me/photos"},)}) == {"source": [{"folder": ".../photos"}]}
