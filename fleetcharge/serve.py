"""The two servers as they are meant to run: `python -m fleetcharge.serve realtime|web`, here and in production.

The flags are part of the product: without them sockets cost more, dead ones linger, slow clients pile up, and
credentials that telemetry and OCPI carry in their addresses end in an access log.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

ASGI, WSGI = "fleetcharge.asgi:application", "fleetcharge.wsgi:application"
MAX_FRAME = str(16 * 1024 * 1024)


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fleetcharge.serve", description=__doc__)
    parser.add_argument("server", choices=["realtime", "web"])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, help="8001 for realtime, 8000 for web")
    parser.add_argument("--workers", type=int, default=1, help="processes of web; realtime: start one per core")
    wanted = parser.parse_args(argv)
    wanted.port = wanted.port or (8001 if wanted.server == "realtime" else 8000)
    return wanted


def command(wanted: argparse.Namespace, env: Mapping[str, str]) -> list[str]:
    """What is executed instead of us; the same process id, so that a supervisor's signals arrive."""
    if wanted.server == "web":
        return [sys.executable, "-m", *_granian(wanted)]
    is_daphne = env.get("FLEETCHARGE_ASGI_SERVER", "uvicorn") == "daphne"
    pause = env.get("FLEETCHARGE_OCPP_PING_SECONDS", "30")
    return [sys.executable, "-m", *(_daphne if is_daphne else _uvicorn)(wanted, pause)]


def _uvicorn(wanted: argparse.Namespace, pause: str) -> list[str]:
    return [
        "uvicorn", "--host", wanted.host, "--port", str(wanted.port), "--loop", "uvloop", "--no-access-log",
        "--ws", "fleetcharge.lib.sockets:LeanWebSocketProtocol", "--ws-per-message-deflate", "false",
        "--http", "fleetcharge.lib.patience:ImpatientProtocol",
        "--no-proxy-headers",  # whom to believe is decided by FLEETCHARGE_TRUSTED_PROXIES
        "--log-level", "warning", "--ws-ping-interval", pause, "--ws-ping-timeout", pause,  # dead within two
        ASGI,
    ]  # fmt: skip


def _daphne(wanted: argparse.Namespace, pause: str) -> list[str]:
    return [
        "daphne", "-b", wanted.host, "-p", str(wanted.port), "--access-log", os.devnull,
        "--ping-interval", pause, "--ping-timeout", pause, "--websocket_timeout=-1",  # not after a day
        "--websocket_connect_timeout", "30", "--websocket-max-message-size", MAX_FRAME,
        "--websocket-max-frame-size", MAX_FRAME, ASGI,
    ]  # fmt: skip


def _granian(wanted: argparse.Namespace) -> list[str]:
    return [
        "granian", "--interface", "wsgi", "--host", wanted.host, "--port", str(wanted.port),
        "--workers", str(wanted.workers), "--blocking-threads", "4", "--log-level", "warning", WSGI,
    ]  # fmt: skip


def main() -> None:
    argv = command(arguments(sys.argv[1:]), os.environ)
    os.execv(argv[0], argv)  # noqa: S606 (our own interpreter, no shell)


if __name__ == "__main__":
    main()
