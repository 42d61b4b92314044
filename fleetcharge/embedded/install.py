"""Makes .venv and puts the pinned requirements into it; standard library only, because nothing else is there yet.

Run by the Makefile as a script: `python3 fleetcharge/embedded/install.py requirements.txt`.
"""

# ruff: noqa: S603 (runs the Python that runs us, and the one of the new environment)

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def fail(*lines: str) -> None:
    sys.exit("\n".join(["", *lines, ""]))


# --- is there anything to do? -------------------------------------------------------------------------------------
def digest(requirements: Path) -> str:
    """Changes with any pinned version, also of the files that this one includes."""
    text = requirements.read_text(encoding="utf-8")
    included = [digest(requirements.parent / name) for name in re.findall(r"^-r (\S+)", text, re.MULTILINE)]
    return hashlib.sha256("".join([text, *included]).encode()).hexdigest()


def site_packages() -> Path | None:
    """Of .venv; None if it is missing, or the Python below it was upgraded or moved away."""
    command = [str(PYTHON), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    done = subprocess.run(command, capture_output=True, text=True) if PYTHON.exists() else None
    if done is None or done.returncode != 0:
        return None
    folder = Path(done.stdout.strip()).resolve()
    return folder if folder.is_dir() and VENV.resolve() in folder.parents else None


def stamp_of(requirements: Path, packages: Path) -> Path:
    """Says which pins were installed last."""
    return packages / f"{requirements.stem}.stamp"


def is_installed(requirements: Path) -> bool:
    if (packages := site_packages()) is None:
        return False
    stamp = stamp_of(requirements, packages)
    return stamp.exists() and stamp.read_text() == digest(requirements)


# --- doing it -----------------------------------------------------------------------------------------------------
def make_venv() -> Path:
    """With pip inside where that is possible, else empty; then an outer pip fills it."""
    say(f"Making .venv with Python {sys.version.split()[0]}")
    shutil.rmtree(VENV, ignore_errors=True)
    can = {name: importlib.util.find_spec(name) is not None for name in ("venv", "ensurepip", "pip")}
    if not (can["venv"] and (can["ensurepip"] or can["pip"])):
        fail(
            "This Python cannot make virtual environments (its venv or ensurepip module is missing).",
            "On Debian or Ubuntu: apt install python3-venv. Or choose another one: make run PYTHON=/path/to/python3",
        )
    options = [] if can["ensurepip"] else ["--without-pip"]
    subprocess.run([sys.executable, "-m", "venv", *options, str(VENV)], check=True)
    packages = site_packages()
    if packages is None:
        fail("The new .venv does not work; remove it and choose another one: make run PYTHON=/path/to/python3")
    return packages or VENV


def pip() -> list[str]:
    if subprocess.run([str(PYTHON), "-m", "pip", "--version"], capture_output=True).returncode == 0:
        return [str(PYTHON), "-m", "pip"]
    return [sys.executable, "-m", "pip", "--python", str(PYTHON)]


class Progress:
    """Turns pip's wall of text into one short line per package, and a sign of life while it is silent.

    Used with `with`: its thread ends with the block.
    """

    def __init__(self, silent_s: float = 5) -> None:
        self._began = self._last = time.monotonic()
        self._silent_s = silent_s
        self._seen = 0
        self._is_done = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="progress", daemon=True)
        self.tail: list[str] = []

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_done.set()
        self._thread.join()

    def read(self, line: str) -> None:
        self.tail = [*self.tail[-30:], line]
        if match := re.match(r"Collecting (\S+)", line):
            self._seen += 1
            self._show(f"  {self._seen:>3}  {match.group(1)}")
        elif line.startswith("Installing collected packages"):
            self._show(f"  unpacking {self._seen} packages")

    def _show(self, line: str) -> None:
        self._last = time.monotonic()
        say(line)

    def _tick(self) -> None:
        while not self._is_done.wait(self._silent_s / 5):
            if time.monotonic() - self._last > self._silent_s:
                self._show(f"  ... {time.monotonic() - self._began:.0f} s")


def install(requirements: Path) -> None:
    say(f"Installing {requirements.name}")
    options = ["--disable-pip-version-check", "--progress-bar", "off", "--no-input"]
    options += ["--no-compile"]  # Python compiles what is really imported, a fifth of all files
    process = subprocess.Popen(
        [*pip(), "install", *options, "-r", str(requirements)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None  # noqa: S101
    with Progress() as progress:
        for line in process.stdout:
            progress.read(line.rstrip())
    if process.wait() != 0:
        fail("pip could not install the requirements. Its last words:", *progress.tail)


def main(name: str) -> None:
    requirements = ROOT / name
    with (ROOT / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # `make run` and `make test` in two windows
        if is_installed(requirements):
            return
        began = time.monotonic()
        packages = site_packages() or make_venv()
        install(requirements)
        stamp_of(requirements, packages).write_text(digest(requirements))
        say(f"Installed in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1])
