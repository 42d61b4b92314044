"""Free loopback ports below the range from which the kernel picks its own."""

import random
import socket

FIRST, LAST = 20_000, 32_767  # from 32768 on, closed connections keep ports busy for a minute


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def random_free_port() -> int:
    """Any free port; random, so that two checkouts starting together rarely want the same."""
    while True:
        port = random.randint(FIRST, LAST)  # noqa: S311
        if is_free(port):
            return port


def next_free_port(wanted: int, host: str = "127.0.0.1", taken: frozenset[int] = frozenset()) -> int:
    """`wanted`, or the first free port after it."""
    for port in range(wanted, LAST + 1):
        if port not in taken and is_free(port, host):
            return port
    raise OSError(f"no free port between {wanted} and {LAST}")
