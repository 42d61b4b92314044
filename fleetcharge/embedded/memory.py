"""How much memory a tree of processes really takes, shared pages counted once."""

from pathlib import Path


def memory_mb(roots: list[int]) -> int | None:
    """Proportional set size of `roots` and all their descendants; None where /proc does not tell."""
    proc = Path("/proc")
    parents: dict[int, int] = {}
    for folder in proc.glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue  # it ended meanwhile
    family = set(roots)
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return round(sum(_pss_kb(proc / str(pid)) for pid in family) / 1024) or None


def _pss_kb(folder: Path) -> int:
    try:
        lines = (folder / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
