"""Where the engines keep their things: one folder each under var/."""

import hashlib
import json
import os
import secrets
import socket
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from fleetcharge.embedded.errors import EngineError
from fleetcharge.embedded.ports import is_free, random_free_port

CHECKOUT = Path(__file__).resolve().parent.parent.parent
LONGEST_SOCKET_PATH = 103  # macOS allows 103 bytes, Linux 107


def var_dir() -> Path:
    return Path(os.environ.get("FLEETCHARGE_VAR_DIR", CHECKOUT / "var")).resolve()


def is_throw_away() -> bool:
    """Test clusters trade durability for speed and are deleted afterwards."""
    return os.environ.get("FLEETCHARGE_THROW_AWAY") == "1"


@dataclass(frozen=True)
class EngineHome:
    """The folder of one engine: data, settings, locks, log."""

    name: str
    var: Path

    @property
    def folder(self) -> Path:
        return self.var / self.name

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def host_lock(self) -> Path:
        """Owned by the one process that runs the engine; holds its pid."""
        return self.folder / "host.lock"

    @property
    def lease(self) -> Path:
        """Shared by everyone who uses the engine."""
        return self.folder / "lease.lock"

    @property
    def log(self) -> Path:
        return self.var / "log" / f"{self.name}.log"

    @property
    def settings_file(self) -> Path:
        return self.folder / "settings.json"

    def make(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.log.parent.mkdir(parents=True, exist_ok=True)
            (self.folder / "writable").write_text("")
        except PermissionError as error:
            raise EngineError(
                f"{self.var} belongs to another user, so the embedded {self.name} cannot keep its data there.\n"
                "Run as that user, remove the folder, or set FLEETCHARGE_VAR_DIR to a folder of your own."
            ) from error


@dataclass(frozen=True)
class Settings:
    """What a client needs to connect; the same over restarts, so that a URL stays valid."""

    port: int
    password: str
    socket_dir: str

    @classmethod
    def load(cls, home: EngineHome) -> "Settings | None":
        """None before the first start, or if the file is damaged."""
        try:
            return cls(**json.loads(home.settings_file.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    @classmethod
    def choose(cls, home: EngineHome) -> "Settings":
        """Those of last time while their port is still free; stored before they are returned."""
        old = cls.load(home)
        settings = cls(
            port=old.port if old and is_free(old.port) else random_free_port(),
            password=old.password if old else secrets.token_urlsafe(24),
            socket_dir=str(socket_dir(home)),
        )
        if settings != old:
            fresh = home.settings_file.with_suffix(".new")
            fresh.unlink(missing_ok=True)
            fresh.touch(mode=0o600)
            fresh.write_text(json.dumps(asdict(settings)))
            fresh.rename(home.settings_file)
        return settings


def socket_dir(home: EngineHome) -> Path:
    """A private folder whose path is short enough for a unix socket."""
    wanted = home.folder / "socket"
    wanted.mkdir(mode=0o700, exist_ok=True)
    if _takes_sockets(wanted):
        return wanted
    digest = hashlib.sha256(str(home.folder).encode()).hexdigest()[:12]
    short = Path(tempfile.gettempdir()) / f"fleetcharge-{os.geteuid()}-{digest}"
    short.mkdir(mode=0o700, exist_ok=True)
    return short


def _takes_sockets(folder: Path) -> bool:
    """Some paths are too long, and some shared folders cannot hold sockets at all."""
    path = folder / ".s.PGSQL.32767"
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        return False
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.bind(str(path))
        except OSError:
            return False
    path.unlink()
    return True
