"""The README's Python runs as it stands, against a real service."""

import re
from pathlib import Path

from support.tiny_bundle import picture

ROOT = Path(__file__).resolve().parents[2]


def blocks(readme: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", readme.read_text(), re.DOTALL)


def run(block: str, service, tiny_folder: Path, tmp_path: Path, monkeypatch, capsys) -> str:
    """Run a block with the service's URL and key in the places that the reader is to fill."""
    picture(4, view=1).save(tmp_path / "photo.jpg", quality=95)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIGHTLINE_BUNDLE", str(tiny_folder))
    block = re.sub(r"https?://[^\"]+", service.url, block)
    block = re.sub(r"api_key=\"[^\"]*\"", f'api_key="{service.key}"', block)
    namespace: dict[str, object] = {}
    exec(block, namespace)
    if "client" in namespace:
        namespace["client"].close()
    return capsys.readouterr().out


def test_five_lines_of_python(service, tiny_folder, tmp_path, monkeypatch, capsys) -> None:
    (block,) = blocks(ROOT / "README.md")
    assert len([line for line in block.splitlines() if line.strip()]) <= 5
    said = run(block, service, tiny_folder, tmp_path, monkeypatch, capsys)
    assert said.startswith("found") and "item/4" in said


def test_the_sdks_readme(service, tiny_folder, tmp_path, monkeypatch, capsys) -> None:
    once, racing, fake = blocks(ROOT / "edge" / "README.md")
    assert "item/4" in run(once, service, tiny_folder, tmp_path, monkeypatch, capsys)
    said = run(racing, service, tiny_folder, tmp_path, monkeypatch, capsys).splitlines()
    assert [line.split()[:2] for line in said] == [["pocket", "False"], ["cloud", "True"]]
    assert all("item/4" in line for line in said)
    said = run(fake, service, tiny_folder, tmp_path, monkeypatch, capsys).splitlines()
    assert [line.split()[1:3] for line in said] == [["2", "False"], ["1", "True"]] and "milk-1" in said[0]
