"""Runs one engine for as long as anybody uses it: `python -m fleetcharge.embedded.host postgres var`."""

import os
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

from fleetcharge.embedded.errors import EngineError
from fleetcharge.embedded.home import EngineHome, Settings, is_throw_away, not_ours
from fleetcharge.embedded.locks import FileLock
from fleetcharge.embedded.postgres import Postgres
from fleetcharge.embedded.supervisor import ProcessSpec, Supervisor
from fleetcharge.embedded.valkey import Valkey

Engine = Postgres | Valkey
LEASE_CHECK_S = 0.25


def engine_named(name: str, var: Path) -> Engine:
    return Postgres(var) if name == "postgres" else Valkey(var)


class Idleness:
    """True once nobody has held a lease for a while; from then on the lease is ours, and newcomers wait."""

    def __init__(self, lease: FileLock, linger_s: float) -> None:
        self._lease = lease
        self._linger_s = linger_s
        self._next_check_at = 0.0
        self._idle_since: float | None = None

    def __call__(self) -> bool:
        now = time.monotonic()
        if now < self._next_check_at:
            return False
        self._next_check_at = now + LEASE_CHECK_S
        if not self._lease.own():
            self._idle_since = None
            return False
        self._idle_since = self._idle_since or now
        if now - self._idle_since >= self._linger_s:
            return True
        self._lease.release()
        return False


def linger_s() -> float:
    """How long an engine outlives its last user: the next command of a script finds it still warm."""
    return float(os.environ.get("FLEETCHARGE_ENGINES_LINGER_SECONDS", "0" if is_throw_away() else "2"))


def checked(spec: ProcessSpec, home: EngineHome) -> ProcessSpec:
    """Files of another user do not become ours by trying again."""

    def prepare() -> None:
        try:
            if spec.prepare:
                spec.prepare()
        except PermissionError as error:
            raise not_ours(home, error) from error

    return replace(spec, prepare=prepare)


def log_line(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} UTC {line}\n")
    sys.stderr.flush()


def main(name: str, var: str) -> int:
    engine = engine_named(name, Path(var))
    lock = FileLock(engine.home.host_lock)
    if not lock.own(within_s=0.5):
        return 0  # somebody else was faster
    lock.write(str(os.getpid()))
    try:
        supervisor = Supervisor([checked(engine.spec(), engine.home)], engine.home.log.parent, log_line)
        supervisor.run(until=Idleness(FileLock(engine.home.lease), linger_s()))
    except PermissionError as error:
        sys.stderr.write(f"{not_ours(engine.home, error)}\n")
        return 1
    except EngineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if is_throw_away():
        if (settings := Settings.load(engine.home)) and settings.socket_dir:
            shutil.rmtree(settings.socket_dir, ignore_errors=True)
        shutil.rmtree(engine.home.folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
