"""The content policy: no inline code or style, and the operator's tile servers as browsers want them."""

import re

import pytest
from django.test import Client

from fleetcharge.accounts.models import User


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


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path",
    ["/login/", "/dispatch/", "/wall/", "/stations/", "/fleet/", "/reports/", "/monitoring/", "/settings/", "/privacy/",
     "/start/", "/wallet/", "/wallet/limits/", "/fleet/connect/", "/fleet/geofences/", "/dispatch/depots/",
     "/dispatch/policies/", "/sessions/", "/alerts/", "/reservations/", "/no-such-page/"],
)  # fmt: skip
def test_pages_have_no_inline_code_and_the_policy_allows_none(client: Client, owner: User, path: str) -> None:
    if path != "/login/":
        client.force_login(owner)
    answer = client.get(path)
    policy, text = answer["Content-Security-Policy"], answer.content.decode()
    assert "unsafe" not in policy
    (nonce,) = re.findall(r"script-src 'self' 'nonce-([\w-]+)'", policy)
    assert f"style-src 'self' 'nonce-{nonce}'" in policy
    assert not re.search(r"""<[^>]*\s(?:style|on[a-z]+)=["']""", text)
    for script in re.findall(r"<(?:script|style)\b[^>]*>", text):
        assert "src=" in script or 'type="application/json"' in script or f'nonce="{nonce}"' in script, script
