"""The dispatcher's live page as the server sends it."""

import json
import re
from datetime import timedelta

import pytest
import redis
import time_machine
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from dispatch.models import Alert
from dispatch.services import open_alert, snooze_alert
from fleetcharge.accounts.models import Organisation, User


def boot_of(client: Client) -> dict:
    page = client.get("/dispatch/").content.decode()
    return json.loads(re.search(r'<script id="boot"[^>]*>(.*?)</script>', page, re.S)[1])


def warn(organisation: Organisation, key: str) -> Alert:
    return open_alert(
        organisation_id=organisation.pk, kind="no_charger", dedupe_key=key, title=f"No charger for {key}",
        now=timezone.now(),
    )  # fmt: skip


def test_a_snoozed_alert_is_known_to_the_page_that_hides_it(
    client: Client, organisation: Organisation, dispatcher: User
) -> None:
    """The page goes on from the highest revision it was given: what is not in it then would never come."""
    snoozed = warn(organisation, "one")
    snooze_alert(alert_id=snoozed.pk, until=timezone.now() + timedelta(minutes=15), actor=dispatcher)
    later = warn(organisation, "two")
    client.force_login(dispatcher)
    assert {alert["id"] for alert in boot_of(client)["alerts"]} == {snoozed.pk, later.pk}
    shown = client.get("/dispatch/").context["alerts"]
    assert [alert.pk for alert in shown] == [later.pk]


@pytest.mark.parametrize(("zone", "shown"), [("Asia/Kolkata", "02:15</b>IST"), ("Asia/Dubai", "00:45</b>+04")])
def test_pages_tell_the_time_of_the_fleet_and_the_api_speaks_utc(
    client: Client, organisation: Organisation, dispatcher: User, zone: str, shown: str
) -> None:
    Organisation.objects.filter(pk=organisation.pk).update(time_zone=zone)
    with time_machine.travel("2026-11-21T20:45:00Z", tick=False):
        warn(organisation, "one")
        client.force_login(dispatcher)
        assert f'<b id="clock">{shown}</span>' in client.get("/dispatch/").content.decode()
        assert client.get("/api/v1/alerts/").json()["results"][0]["opened_at"] == "2026-11-21T20:45:00Z"


def test_a_zone_that_does_not_exist_breaks_no_page(
    client: Client, organisation: Organisation, dispatcher: User
) -> None:
    Organisation.objects.filter(pk=organisation.pk).update(time_zone="Nowhere/At all")
    client.force_login(dispatcher)
    assert client.get("/stations/").status_code == 200


def test_the_page_needs_no_valkey(client: Client, organisation: Organisation, dispatcher: User, settings) -> None:
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}}
    with pytest.raises(redis.ConnectionError):
        cache.get("anything")
    client.force_login(dispatcher)
    assert client.get("/dispatch/").status_code == 200
