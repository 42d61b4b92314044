"""The same reservations, starts and stops at a BPP that really speaks UBC over HTTP."""

from datetime import timedelta

import pytest
from django.utils import timezone

from dispatch import services
from dispatch.models import Reservation
from dispatch.tests import test_reserving_elsewhere as elsewhere
from dispatch.tests.test_reserving_elsewhere import becomes, reserve, start
from stations.models import Connector, CPOCommand
from stations.tests import test_ubc_network as ubc
from vehicles.models import Vehicle

pytestmark = pytest.mark.django_db(transaction=True)
ours, surya, network, connector, van = ubc.ours, ubc.surya, ubc.network, ubc.connector, elsewhere.van


def test_an_order_is_reserved_extended_given_back_started_and_stopped(connector: Connector, van: Vehicle) -> None:
    row = becomes("confirmed", reserve(van, connector))
    assert row.way == "network"
    later = row.expires_at + timedelta(minutes=30)
    services.extend_reservation(number=row.number, expires_at=later, actor=None, now=timezone.now())
    order = ubc.settled(ubc.order_in("confirmed", reservation_key=str(row.key)))
    assert order.expires_at == later
    assert Reservation.objects.get().agreed_until is None
    services.cancel_reservation(number=row.number, actor=None, now=timezone.now())
    ubc.order_in("cancelled", pk=order.pk)
    command = becomes("done", start(van, connector))
    assert command.session is not None
    stop = services.stop_charging(session_id=command.session_id, actor=None, now=timezone.now())
    services.send_command(stop.pk, timezone.now())
    becomes("done", stop)
    assert CPOCommand.objects.count() == 0
