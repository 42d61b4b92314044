"""How the interpreter of a process that must answer at once is set up: with thousands of sockets, or many threads."""

import gc
import resource
import sys

SWITCH_SECONDS = 0.001
"""A thread that computes lets go of the interpreter this often. A loop lets go with every poll of its sockets, a
worker's thread with every statement, and with Python's five milliseconds each of them would wait that long while
another thread computes."""


def tune_for_quick_answers() -> None:
    """Call it once everything is imported: what exists now is never collected, and collections become rare.

    Pauses of the oldest generation (a third of a second and more in a process of this size) make the slowest answers.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    sys.setswitchinterval(SWITCH_SECONDS)


def allow_many_sockets() -> int:
    """Let this process open as many files and sockets as it may at all; how many now.

    Many systems begin with 1,024 of them, for programs that use select(2): the 1,025th charger would find nobody who
    accepts it. Nothing here selects.
    """
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (ValueError, OSError):  # "unlimited", where the kernel has a limit of its own
        return allowed
    return most
