"""A CPO of OCPI 2.2.1 with many sites, served beside the benchmark: `BENCH_SITES` of them, on `BENCH_PORT`."""

import os
from typing import Any

from fleetcharge.demo.peers import objects
from fleetcharge.demo.peers.ocpi import OCPIPeer

PAGE = 500


def site(number: int) -> dict[str, Any]:
    """Sites on a grid over India, two units each."""
    row, column = divmod(number, 200)
    place = {"latitude": f"{9 + row * 0.08:.6f}", "longitude": f"{72 + column * 0.09:.6f}"}
    return objects.location("2.2.1", number, coordinates=place, name=f"Grid {number}")


def make() -> OCPIPeer:
    peer = OCPIPeer("2.2.1")
    peer.base_url = f"http://127.0.0.1:{os.environ['BENCH_PORT']}"
    peer.lists["locations"] = [site(number) for number in range(int(os.environ["BENCH_SITES"]))]
    peer.page_size = PAGE
    peer.without = {"sessions", "cdrs", "hubclientinfo"}
    return peer


async def application(scope: Any, receive: Any, send: Any) -> None:
    global _peer
    if scope["type"] == "http":
        _peer = _peer or make()
        await _peer(scope, receive, send)


_peer: OCPIPeer | None = None
