"""PostgreSQL refuses to run as root: a harmless identity for it, without creating users or opening folders."""

# ruff: noqa: S603 (runs our own binaries with our own arguments)

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fleetcharge.embedded.errors import EngineError

NOBODY = 65534
CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1

# Loaded here because a forked child must not import or open anything before it execs.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(signal_number: int) -> None:
    """In a forked child: ask the kernel to signal us when the parent is gone (Linux only)."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)


def _stay() -> None:
    """We are not root; nothing to do."""


def _drop_to(uid: int) -> Callable[[], None]:
    def drop() -> None:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(uid)

    return drop


def _enter_user_namespace() -> None:
    """Appear as uid 1000 to ourselves while still being root for the files outside."""
    if _libc is None or _libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWUSER)")
    for name, text in (("setgroups", "deny"), ("uid_map", "1000 0 1"), ("gid_map", "1000 0 1")):
        fd = os.open(f"/proc/self/{name}", os.O_WRONLY)
        os.write(fd, text.encode())
        os.close(fd)


@dataclass(frozen=True)
class Identity:
    """Who an engine runs as: `become` is called in the forked child, `uid` owns the files."""

    uid: int
    become: Callable[[], None]

    def own(self, path: Path) -> None:
        """Hand `path` and all below to the engine's uid; a no-op where it already is."""
        if path.stat().st_uid == self.uid or os.geteuid() != 0:
            return
        for found in (path, *path.rglob("*")):
            os.lchown(found, self.uid, -1)


def _works(identity: Identity, binary: Path, folder: Path) -> bool:
    """Can a child with this identity run `binary` and reach `folder`?"""

    def prepare() -> None:
        identity.become()
        os.chdir(folder)

    try:
        subprocess.run([binary, "--version"], preexec_fn=prepare, capture_output=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def find_identity(binary: Path, data: Path) -> Identity:
    """The first identity that can run `binary` with its files in `data`, which may not exist yet."""
    if os.geteuid() != 0:
        return Identity(os.geteuid(), _stay)
    folder = data.parent
    candidates = [Identity(NOBODY, _drop_to(NOBODY)), Identity(0, _enter_user_namespace)]
    if data.exists() and (owner := data.stat().st_uid):  # of a normal user who also runs this checkout
        candidates.insert(0, Identity(owner, _drop_to(owner)))
    for identity in candidates:
        if _works(identity, binary, folder):
            return identity
    raise EngineError(
        "PostgreSQL refuses to run as root. Neither way around that works here: uid 65534 cannot reach\n"
        f"  {folder} or {binary}, and user namespaces are blocked.\n"
        "Do one of these: run as a normal user; move the checkout to a folder everybody may read;\n"
        "set FLEETCHARGE_VAR_DIR to such a folder; or set DATABASE_URL to a PostgreSQL of your own."
    )
