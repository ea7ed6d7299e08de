"""A service in a process of its own, so that what it holds can be counted from outside."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sightline_cloud.engine import Engine
from sightline_cloud.settings import Settings
from sightline_shared.bundle import Bundle

SCOPES = ("search", "rerank", "write", "admin")
COMMAND = "import sys; from sightline_shared.cli import main; sys.exit(main(sys.argv[1:]))"


@dataclass(frozen=True)
class Held:
    """What a process holds; `files` are those besides `database_files`, of which each thread's connection has some of its own."""

    files: int
    database_files: int
    threads: int
    resident_bytes: int


class Served:
    """`sightline serve` over `data`; `tmp` is where it would put temporary files, `log` what it wrote to stderr."""

    def __init__(self, data: Path, bundle: Bundle, folder: Path, settings: str = "") -> None:
        data.mkdir(parents=True)
        (data / "settings.toml").write_text(settings)
        engine = Engine(Settings(data_dir=data), bundle)
        self.key = engine.keys.add("all", scopes=SCOPES)
        self.narrow_keys = {scope: engine.keys.add(f"only-{scope}", scopes=(scope,)) for scope in SCOPES}
        engine.close()
        self.data, self.tmp, self.log = data, data.parent / "tmp", data.parent / "log"
        self.tmp.mkdir()
        command = [sys.executable, "-c", COMMAND, "serve", "--data", str(data), "--bundle", str(folder)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--port", "0", "--admin-port", "0"],
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, "TMPDIR": str(self.tmp)},
            )
        self.admin_url = self.url = ""
        give_up = time.monotonic() + 60
        while not self.url:
            if self.process.poll() is not None or time.monotonic() > give_up:
                raise AssertionError("serve did not start: " + self.log.read_text())
            told = self.log.read_text()
            if found := re.search(r"operators: (http://\S+).*serves \S+ on (http://\S+) ", told, re.DOTALL):
                self.admin_url, self.url = found[1], found[2]
            time.sleep(0.02)

    def door(self, name: str) -> str:
        return self.admin_url if name == "admin" else self.url

    def held(self) -> Held:
        own = Path(f"/proc/{self.process.pid}")
        status = (own / "status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        resident_bytes = int(fields["VmRSS"].split()[0]) * 1024
        names = []
        for link in (own / "fd").iterdir():
            with suppress(FileNotFoundError):  # a connection that is closed meanwhile
                names.append(str(link.readlink()))
        of_database = sum(name.startswith(str(self.data / "catalogue.sqlite")) for name in names)
        return Held(len(names) - of_database, of_database, int(fields["Threads"]), resident_bytes)

    def settled(self, files: int | None = None) -> Held:
        """Return what is held when the callers' connections are gone: no more than so many files, or no longer fewer."""
        give_up = time.monotonic() + 10
        held = self.held()
        while time.monotonic() < give_up:
            time.sleep(0.1)
            last, held = held, self.held()
            if held.files <= files if files is not None else held.files == last.files:
                break
        return held

    def deleted_files(self) -> list[str]:
        """Return the files that are open and have no name any more; memory that is named as one is none."""
        links = [link.readlink() for link in Path(f"/proc/{self.process.pid}/fd").iterdir() if link.is_symlink()]
        return [str(link) for link in links if str(link).endswith(" (deleted)") and "/memfd:" not in str(link)]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)
