"""What the live page weighs at a first visit: bytes, not seconds."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.test import Client
from django.utils import timezone

from bench.ui.weight import gzipped, loaded
from dispatch.services import open_alert
from fleetcharge.accounts.models import Organisation, User

MOST_BYTES = 180_000
ALERTS = 10


def read(address: str) -> str:
    found = finders.find(address.removeprefix(settings.STATIC_URL))
    assert isinstance(found, str), f"{address} is no file of ours"
    return Path(found).read_text()


@pytest.mark.django_db
def test_a_first_visit_of_the_live_page_loads_at_most_180_kb_before_the_ground_of_its_map(
    client: Client, organisation: Organisation, dispatcher: User
) -> None:
    for number in range(ALERTS):
        open_alert(
            organisation_id=organisation.pk,
            kind="no_charger",
            dedupe_key=str(number),
            title="No charger",
            now=timezone.now(),
        )
    client.force_login(dispatcher)
    html = client.get("/dispatch/").content.decode()
    files = loaded(html, read)
    names = {Path(address).name for address in files}
    assert {"app.css", "dashboard.css", "leaflet.js", "dashboard.js", "canvas-layer.js", "wire.js"} <= names
    assert gzipped([html, *files.values()]) <= MOST_BYTES
    assert preloaded(html) == modules_of_the_map(html)


def preloaded(html: str) -> set[str]:
    return set(re.findall(r'<link rel="modulepreload" href="([^"]+)">', html))


def modules_of_the_map(html: str) -> set[str]:
    """What its script needs to begin, by the imports of each."""
    (names,) = re.findall(r'<script type="importmap".*?</script>', html, re.DOTALL)
    return set(loaded(f'{names}<script src="{settings.STATIC_URL}js/dashboard.js">', read))
