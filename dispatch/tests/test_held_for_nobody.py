"""A plug that is held without a promise is let go, and looking for such plugs reads the held ones alone."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from dispatch.models import Reservation
from dispatch.services import reservations
from dispatch.tests import factories
from fleetcharge.accounts.models import Organisation
from stations.models import Connector
from stations.services import set_hold

pytestmark = pytest.mark.django_db
PLUGS = 3_000


def held(plug: Connector, now: datetime) -> Connector:
    set_hold(connector_id=plug.pk, is_held=True, at=now)
    return plug


def test_what_nobody_was_promised_is_let_go_and_what_somebody_was_is_kept(organisation: Organisation) -> None:
    now = timezone.now()
    site = factories.location(factories.public_network(organisation))
    forgotten, promised = held(factories.connector(site, at=now), now), held(factories.connector(site, at=now), now)
    Reservation.objects.create(
        organisation=organisation, vehicle=factories.vehicle(organisation, at=now), connector=promised,
        state="confirmed", created_at=now, starts_at=now, expires_at=now + timedelta(minutes=30),
    )  # fmt: skip
    later = now + timedelta(seconds=5)
    assert reservations.release_held_for_nobody(now=later) == 1
    assert list(Connector.objects.filter(is_held=True)) == [promised]
    assert Connector.objects.get(pk=forgotten.pk).status == "available"
    assert reservations.release_held_for_nobody(now=later) == 0


def test_among_thousands_only_the_held_are_read(organisation: Organisation) -> None:
    now = timezone.now()
    plug = factories.connector(factories.location(factories.public_network(organisation)), at=now)
    Connector.objects.bulk_create(
        Connector(evse_id=plug.evse_id, connector_id=number, status="available") for number in range(100, 100 + PLUGS)
    )
    held(plug, now)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE stations_connector")
    assert list(reservations._held_for_nobody(now)) == [plug]
    plan = list(_scans(_plan(now)))
    assert [node["Index Name"] for node in plan if node["Relation Name"] == "stations_connector"] == ["held_connectors"]


def _plan(now: datetime) -> Any:
    return json.loads(reservations._held_for_nobody(now).explain(format="json"))[0]["Plan"]


def _scans(node: Any) -> Any:
    if "Relation Name" in node:
        yield {"Index Name": "", **node}
    for each in node.get("Plans", []):
        yield from _scans(each)
