"""PostgreSQL refuses to run as root: a harmless identity for it, without creating users or opening folders."""

# ruff: noqa: S603 (runs our own binaries with our own arguments)

import ctypes
import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fleetcharge.embedded.errors import EngineError

NOBODY = 65534
CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4

# Loaded here because a forked child must not import or open anything before it execs.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(signal_number: int) -> None:
    """In a forked child: ask the kernel to signal us when the parent is gone (Linux only)."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)


def inherit_owner(path: Path) -> None:
    """Root leaves files behind that the owner of the folder can use later (a mounted checkout, a single `sudo`)."""
    if os.geteuid() == 0 and (owner := path.parent.stat().st_uid) != path.stat().st_uid:
        os.chown(path, owner, -1)


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


def owner_identity(folder: Path) -> Identity:
    """For programs that do not mind root: whoever owns `folder`."""
    owner = folder.stat().st_uid
    if os.geteuid() != 0 or owner == 0:
        return Identity(os.geteuid(), _stay)
    return Identity(owner, _drop_to(owner))


def find_identity(binary: Path, data: Path) -> Identity:
    """The first identity that can run `binary` with its files in `data`, which may not exist yet."""
    folder = data.parent
    for identity in _candidates((data if data.exists() else folder).stat().st_uid):
        if _works(identity, binary, folder):
            return identity
    if os.geteuid() != 0:
        raise EngineError(
            f"PostgreSQL wants its user to have a name, but uid {os.geteuid()} is not in /etc/passwd here, and user\n"
            "namespaces, the way around that, are blocked. Run as a user with a name, or set DATABASE_URL."
        )
    raise EngineError(
        "PostgreSQL refuses to run as root. Neither way around that works here: uid 65534 cannot reach\n"
        f"  {folder} or {binary}, and user namespaces are blocked.\n"
        "Do one of these: run as a normal user; move the checkout to a folder everybody may read;\n"
        "set FLEETCHARGE_VAR_DIR to such a folder; or set DATABASE_URL to a PostgreSQL of your own."
    )


def _candidates(owner: int) -> list[Identity]:
    """Best first. `owner` is who has the files now: a normal user whose folder this is, or our choice of last time."""
    if os.geteuid() != 0:
        return [Identity(os.geteuid(), _stay if _has_name(os.geteuid()) else _namespace_entrance())]
    candidates = [Identity(NOBODY, _drop_to(NOBODY))] if _has_name(NOBODY) else []
    candidates.append(Identity(0, _namespace_entrance()))
    if owner != 0:
        drop, enter = _drop_to(owner), _namespace_entrance()
        candidates.insert(0, Identity(owner, drop if _has_name(owner) else lambda: (drop(), enter())[1]))
    return candidates


def _has_name(uid: int) -> bool:
    """`initdb` looks itself up; in containers a uid may be nobody at all."""
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _stay() -> None:
    """Nothing to change."""


def _drop_to(uid: int) -> Callable[[], None]:
    def drop() -> None:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(uid)

    return drop


def _namespace_entrance() -> Callable[[], None]:
    """Enter a user namespace: to itself the process is a normal user with a name, outside it stays who it is."""
    inside = next((entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid != 0), 1)

    def enter() -> None:
        maps = {"setgroups": "deny", "uid_map": f"{inside} {os.geteuid()} 1", "gid_map": f"{inside} {os.getegid()} 1"}
        if _libc is None or _libc.unshare(CLONE_NEWUSER) != 0:
            raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWUSER)")
        _libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # after a setuid our own /proc files would belong to root
        for name, text in maps.items():
            fd = os.open(f"/proc/self/{name}", os.O_WRONLY)
            os.write(fd, text.encode())
            os.close(fd)

    return enter


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
