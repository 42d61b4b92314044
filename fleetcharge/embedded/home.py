"""Where the engines keep their things: one folder each under var/."""

import json
import os
import secrets
import socket
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from fleetcharge.embedded.errors import EngineError
from fleetcharge.embedded.identity import inherit_owner
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
        self.var.mkdir(parents=True, exist_ok=True)
        for folder in (self.var, self.folder, self.log.parent):
            folder.mkdir(exist_ok=True)
            inherit_owner(folder)
        self.log.touch()
        inherit_owner(self.log)


def not_ours(home: EngineHome, error: PermissionError) -> EngineError:
    return EngineError(
        f"{error.filename} belongs to another user, so the embedded {home.name} cannot use it.\n"
        f"Run as that user, remove {home.var}, or set FLEETCHARGE_VAR_DIR to a folder of your own."
    )


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
    def choose(cls, home: EngineHome, socket_dir: str = "") -> "Settings":
        """Those of last time while their port is still free; stored before they are returned."""
        old = cls.load(home)
        settings = cls(
            port=old.port if old and is_free(old.port) else random_free_port(),
            password=old.password if old else secrets.token_urlsafe(24),
            socket_dir=socket_dir,
        )
        if settings != old:
            fresh = home.settings_file.with_suffix(".new")
            fresh.unlink(missing_ok=True)
            fresh.touch(mode=0o600)
            fresh.write_text(json.dumps(asdict(settings)))
            fresh.rename(home.settings_file)
            inherit_owner(home.settings_file)
        return settings


def socket_dir(home: EngineHome) -> Path:
    """A private folder whose path is short enough for a unix socket."""
    wanted = home.folder / "socket"
    wanted.mkdir(mode=0o700, exist_ok=True)
    if _takes_sockets(wanted):
        return wanted
    old = Settings.load(home)
    if old and old.socket_dir and _is_ours(Path(old.socket_dir), home):
        return Path(old.socket_dir)
    return Path(tempfile.mkdtemp(prefix="fleetcharge-"))


def _is_ours(folder: Path, home: EngineHome) -> bool:
    """In the shared temp folder somebody could have put up another folder under our name."""
    owners = {os.geteuid(), *(path.stat().st_uid for path in (home.folder, home.data) if path.exists())}
    return folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid in owners


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
