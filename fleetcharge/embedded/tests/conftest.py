"""Engines of their own for these tests: each in a fresh var/, used by separate processes as in real life."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from fleetcharge.embedded.home import CHECKOUT

USER = """
import sys
from fleetcharge.embedded import provide_engines
from fleetcharge.embedded.errors import EngineError
try:
    engines = provide_engines()
except EngineError as error:
    print("error", str(error).replace(chr(10), " "), flush=True)
else:
    print(engines.database_url, engines.redis_url, flush=True)
    sys.stdin.read()
"""


T = TypeVar("T")
QUICK = {"FLEETCHARGE_ENGINES_LINGER_SECONDS": "0.3"}


class User:
    """A process that uses the engines until it is told to go."""

    def __init__(self, var: Path, **env: str) -> None:
        clean = {key: value for key, value in os.environ.items() if key not in {"DATABASE_URL", "REDIS_URL"}}
        clean = {**clean, "FLEETCHARGE_VAR_DIR": str(var), "FLEETCHARGE_THROW_AWAY": "0", **QUICK, **env}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER], cwd=CHECKOUT, env=clean, stdin=pipe, stdout=pipe, text=True
        )
        self._answer: str | None = None

    @property
    def answer(self) -> str:
        if self._answer is None:
            assert self.process.stdout is not None
            self._answer = self.process.stdout.readline().strip()
        return self._answer

    @property
    def database_url(self) -> str:
        return self.answer.split(" ")[0]

    @property
    def redis_url(self) -> str:
        return self.answer.split(" ")[1]

    def leave(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)


def wait_for(what: Callable[[], T], within_s: float = 60.0) -> T:
    """Its first true value; the limit is for failures alone, a busy machine may take its time."""
    deadline = time.monotonic() + within_s
    while not (found := what()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return found


def processes_naming(text: str) -> list[int]:
    """Pids of live processes whose command line or working folder contains `text`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if text in (folder / "cmdline").read_text() or text in str((folder / "cwd").readlink()):
                found.append(int(folder.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


@contextlib.contextmanager
def fresh_var() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="fleetcharge-embedded-"))
    folder.chmod(0o755)
    yield folder
    wait_for(lambda: not processes_naming(str(folder)))
    shutil.rmtree(folder)


@pytest.fixture
def var() -> Iterator[Path]:
    with fresh_var() as folder:
        yield folder


@pytest.fixture(scope="module")
def kept_var() -> Iterator[Path]:
    with fresh_var() as folder:
        yield folder


@pytest.fixture(scope="module")
def kept(kept_var: Path) -> Iterator[User]:
    """Engines that several tests share, because they leave them as they found them: running."""
    one = User(kept_var)
    yield one
    one.leave()


@pytest.fixture
def user(var: Path) -> Iterator[Callable[..., User]]:
    users: list[User] = []

    def start(folder: Path = var, **env: str) -> User:
        users.append(User(folder, **env))
        return users[-1]

    yield start
    for one in users:
        one.process.kill()
        one.process.wait()
