"""The content policy names the operator's tile servers as browsers want them."""

import pytest
from django.test import Client


@pytest.mark.parametrize(
    ("address", "sources"),
    [
        ("", "'self' data: blob:"),
        ("/tiles/{z}/{x}/{y}.png", "'self' data: blob:"),
        ("https://tiles.example:8443/osm/{z}/{x}/{y}.png", "'self' data: blob: https://tiles.example:8443"),
        (
            "https://{s}.tiles.example/{z}/{x}/{y}{r}.png?key=1",
            "'self' data: blob: https://a.tiles.example https://b.tiles.example https://c.tiles.example",
        ),
    ],
)
def test_tiles_come_from_their_servers_only(client: Client, settings, address: str, sources: str) -> None:
    settings.TILES_URL = address
    policy = client.get("/login/")["Content-Security-Policy"]
    assert dict(part.split(" ", 1) for part in policy.split("; "))["img-src"] == sources
