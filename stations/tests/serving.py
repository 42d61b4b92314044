"""A real HTTP server in a thread, for peers that must really call each other."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import uvicorn

from fleetcharge.embedded.ports import random_free_port
from tests.prompt_server import PromptServer


@contextlib.contextmanager
def serve(app: Any, port: int = 0) -> Iterator[str]:
    """Serve an ASGI app on loopback; yields its base address."""
    listener = _listen(port)
    port = listener.getsockname()[1]
    server = PromptServer(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    _wait_until_open(port)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.leave()
        thread.join(60)


def _listen(port: int) -> socket.socket:
    """Bound at once, so that two test runs never share a port that both found free."""
    while True:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port or random_free_port()))
            listener.listen(128)
        except OSError:
            listener.close()
            if port:
                raise
        else:
            return listener


def _wait_until_open(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise TimeoutError(f"nothing listens on {port}")
