"""How the interpreter of a process with thousands of sockets is set up."""

import gc
import sys

SWITCH_SECONDS = 0.001
"""A thread that computes lets go of the interpreter this often. The loop lets go with every poll of its sockets, and
with Python's five milliseconds each poll would wait that long while anything runs in a thread."""


def tune_for_sockets() -> None:
    """Call it once everything is imported: what exists now is never collected, and collections become rare.

    Pauses of the oldest generation are what makes the slowest answers of thousands of sockets.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    sys.setswitchinterval(SWITCH_SECONDS)
