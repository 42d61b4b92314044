"""Locks that the kernel releases by itself, however a process ends."""

import fcntl
import os
import time
from pathlib import Path

from fleetcharge.embedded.identity import inherit_owner


class FileLock:
    """An flock on `path`: many may share it, or one may own it.

    The kernel drops it when the last holder is gone, even after kill -9, so there is no stale state to clean up.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        inherit_owner(path)

    def share(self) -> None:
        """Join the holders; waits while somebody owns the lock alone."""
        fcntl.flock(self.fd, fcntl.LOCK_SH)

    def own(self, *, within_s: float = 0.0) -> bool:
        """Become the only holder, or give up after `within_s` seconds."""
        deadline = time.monotonic() + within_s
        while True:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(0.02)

    def release(self) -> None:
        fcntl.flock(self.fd, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self.fd)

    def write(self, text: str) -> None:
        """Leave a note for those who find the lock taken."""
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, text.encode(), 0)

    def read(self) -> str:
        return os.pread(self.fd, 4096, 0).decode(errors="replace")


def is_owned(path: Path) -> bool:
    """Is there a live process that owns `path` alone?"""
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        fcntl.flock(lock.fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # two who ask at once do not disturb each other
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        lock.close()
