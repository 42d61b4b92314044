"""Which of the road maps of this machine is in use; needs none of the programs that read them."""

import os
from pathlib import Path

CURRENT = "current"


def in_use(folder: Path) -> str:
    """The name of the map, a folder beside; empty without one. Cheap enough for every plan."""
    try:
        return (folder / CURRENT).read_text()
    except OSError:
        return ""


def use(folder: Path, name: str) -> None:
    """At once: whoever looks sees the old name or the new one."""
    fresh = folder / f"{CURRENT}.{os.getpid()}"
    fresh.write_text(name)
    fresh.replace(folder / CURRENT)
