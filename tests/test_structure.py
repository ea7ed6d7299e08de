"""The structure holds: imports point downwards, the SDK loads nothing heavy, every command is documented."""

import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sightline_shared.cli import COMMANDS, main, parser_of
from sightline_shared.environment import VARIABLES

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"torch", "onnx", "coremltools", "faiss", "fastapi", "uvicorn", "sqlalchemy", "ray", "jinja2"}


def test_the_demo_does_without_what_only_the_export_installs() -> None:
    code = "import json, sys, sightline_bench.demo.run; print(json.dumps(list(sys.modules)))"
    loaded = set(json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout))
    assert not loaded & {"torch", "onnx", "coremltools", "matplotlib", "safetensors"}


def test_importing_the_sdk_loads_nothing_heavy() -> None:
    code = "import json, sys, sightline_edge; print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"
    loaded = set(json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout))
    assert not loaded & (HEAVY | {"sightline_cloud", "sightline_export", "sightline_bench"})


def test_the_command_line_imports_only_the_command_that_was_asked_for() -> None:
    code = "import sys; from sightline_shared.cli import main; main(['--help']); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert not [name for name in HEAVY | {"onnxruntime", "httpx", "numpy"} if f"'{name}'" in done.stdout]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command.words))
def test_every_command_has_help_with_an_example(command, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*command.words, "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    assert f"\n  sightline {' '.join(command.words)}" in text.partition("Examples:")[2] or "  SIGHTLINE" in text
    assert "--json" in text
    parser = parser_of(command, importlib.import_module(command.module))
    assert all(action.help for action in parser._actions)


def test_every_command_stands_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    assert not [" ".join(c.words) for c in COMMANDS if f"sightline {' '.join(c.words)}" not in readme]


def test_every_environment_variable_is_read_through_the_list_and_documented() -> None:
    readme = (ROOT / "README.md").read_text()
    assert not [name for name in VARIABLES if name not in readme]
    stray = [
        f"{path.relative_to(ROOT)}"
        for folder in ("shared", "edge", "cloud", "export", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"os\.(environ\b|getenv)", path.read_text()) and path.name != "environment.py"
    ]
    assert not stray


def test_the_sdks_public_names_are_what_all_says() -> None:
    sdk = importlib.import_module("sightline_edge")
    assert sorted(sdk.__all__) == sdk.__all__
    assert all(inspect.getdoc(getattr(sdk, name)) for name in sdk.__all__)


@pytest.mark.parametrize(
    "words", [["nonsense"], ["index"], ["bundle", "paint"], ["query"], ["query", "x", "-k", "many"]]
)
def test_wrong_usage_exits_2_with_text_and_no_traceback(words: list[str]) -> None:
    code = "import sys; from sightline_shared.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 2 and "usage" in done.stderr and "Traceback" not in done.stderr
