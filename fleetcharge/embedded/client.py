"""How a process finds an engine that runs, or gets one started, and says that it uses it."""

# ruff: noqa: S603 (starts our own module)

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from fleetcharge.embedded.errors import EngineError
from fleetcharge.embedded.home import CHECKOUT, not_ours
from fleetcharge.embedded.host import Engine, engine_named
from fleetcharge.embedded.locks import FileLock, is_owned

PATIENCE_S = 120.0  # a long crash recovery is still better than an error


class EngineClient:
    """One process's use of one engine; the lease ends with the process, however it ends."""

    def __init__(self, name: str, var: Path) -> None:
        self.engine: Engine = engine_named(name, var)
        self.home = self.engine.home
        self._var = var
        self._lease: FileLock | None = None
        self._host: subprocess.Popen[bytes] | None = None
        self._log_offset = 0
        self._news: TextIO | None = None

    def begin(self) -> None:
        """Take a lease and make sure that somebody runs the engine; does not wait for it to be ready."""
        try:
            self.home.make()
            if self._lease is None:
                self._lease = FileLock(self.home.lease)
                self._lease.share()
            self.ensure_host()
        except PermissionError as error:
            raise not_ours(self.home, error) from error

    def ensure_host(self) -> bool:
        """Start a host if there is none; True if one was started."""
        if (self._host and self._host.poll() is None) or is_owned(self.home.host_lock):
            return False
        with self.home.log.open("ab") as log:
            self._log_offset = log.tell()
            self._host = subprocess.Popen(
                [sys.executable, "-m", "fleetcharge.embedded.host", self.engine.name, str(self._var)],
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us; the host ends when its last lease does
            )
        return True

    def wait(self) -> str:
        """The URL, once the engine answers."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if is_owned(self.home.host_lock) and self.engine.is_ready():
                url = self.engine.url()
                assert url is not None  # noqa: S101
                return url
            if self._host and (code := self._host.poll()) is not None:
                if code != 0:
                    raise EngineError(self._what_the_host_said())
                self._host = None
            if self._host is None:
                self.ensure_host()
            time.sleep(0.03)
        raise EngineError(
            f"The embedded {self.engine.name} did not answer within {PATIENCE_S:g} s. The end of {self.home.log}:\n"
            f"{self._what_the_host_said()[-2000:]}"
        )

    def _what_the_host_said(self) -> str:
        with self.home.log.open("rb") as log:
            log.seek(self._log_offset)
            return log.read().decode(errors="replace").strip()

    def host_pid(self) -> int | None:
        with suppress(FileNotFoundError, ValueError):
            return int(self.home.host_lock.read_text())
        return None

    def news(self) -> list[str]:
        """What the host has said of its engine since we last asked: crashes and restarts."""
        if self._news is None:
            self._news = self.home.log.open(errors="replace")
            self._news.seek(0, os.SEEK_END)
        marker = f" UTC {self.engine.name}: "
        return [f"{self.engine.name}: {line.split(marker)[1].strip()}" for line in self._news if marker in line]

    def stop_if_unused(self) -> bool:
        """Give the lease back; stop the engine and wait for it, unless another process uses it (then False)."""
        if self._lease is None:
            return False
        if not self._lease.own(within_s=0.1):  # the host itself looks now and then
            self._lease.release()
            return False
        host = FileLock(self.home.host_lock)
        if not host.own():
            os.kill(int(host.read()), signal.SIGTERM)
            host.own(within_s=60)
        host.close()
        self._lease.close()
        self._lease = None
        if self._host:
            self._host.wait()
        return True
