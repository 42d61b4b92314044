"""Real PostgreSQL and Valkey without installation: found running, or started for as long as somebody uses them.

Each engine is run by a small host process of its own (`host.py`), never by the command that happened to come first.
Whoever uses an engine holds a shared flock, the lease; the host leaves when no lease is left. So it does not matter
who started what: a `manage.py shell` that came first may end while `make run` goes on, and kill -9 leaves no stale
claim because the kernel drops the locks. A second flock makes sure that there is never more than one host.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fleetcharge.embedded.client import EngineClient

VARIABLES = {"postgres": "DATABASE_URL", "valkey": "REDIS_URL"}


@dataclass(frozen=True)
class Engines:
    """Where to connect; `embedded` names the engines that we run ourselves."""

    database_url: str
    redis_url: str
    embedded: tuple[str, ...] = ()


def provide_engines() -> Engines:
    """DATABASE_URL and REDIS_URL as set, else those of the embedded engines, also put into `os.environ`.

    Returns once both answer; about 0.3 s when they have to be started, 1.5 s on the very first start.
    Raises EngineError when a person has to act.
    """
    from fleetcharge.embedded.client import EngineClient
    from fleetcharge.embedded.home import var_dir

    missing = [name for name, variable in VARIABLES.items() if not os.environ.get(variable)]
    clients = [_clients.setdefault(name, EngineClient(name, var_dir())) for name in missing]
    for client in clients:
        client.begin()
    for name, client in zip(missing, clients, strict=True):
        os.environ[VARIABLES[name]] = client.wait()
    return Engines(os.environ["DATABASE_URL"], os.environ["REDIS_URL"], tuple(_clients))


def release_engines() -> list[str]:
    """Stop what nobody else uses; the names of engines that stay because others do use them."""
    return [name for name in list(_clients) if not _clients.pop(name).stop_if_unused()]


class EngineWatch:
    """Looks once a second whether the hosts of our engines are there, and replaces one that was killed.

    The hosts restart their engines themselves; this says on the console what happened.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._next_look_at = 0.0

    def look(self) -> None:
        now = time.monotonic()
        if now < self._next_look_at:
            return
        self._next_look_at = now + 0.25
        for name, client in _clients.items():
            for event in client.news():
                self._tell(event)
            if client.ensure_host():
                self._tell(f"{name}: its host was gone, started another")
                self._next_look_at = now + 2.0  # should it fail again and again

    def pids(self) -> list[int]:
        return [pid for client in _clients.values() if (pid := client.host_pid())]


_clients: dict[str, "EngineClient"] = {}
