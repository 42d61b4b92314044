"""Any connector (connector 0) is only reserved where the charger says that it can."""

from datetime import timedelta

import pytest
from django.utils import timezone

from fleetcharge.accounts.models import Organisation
from ocpp_bridge import commands
from ocpp_bridge.models import Command, ConfigurationValue
from ocpp_bridge.tests import factories
from stations.models import Charger

pytestmark = pytest.mark.django_db


def reserve(station: Charger, evse_number: int) -> Command:
    parameters = {
        "evse_number": evse_number, "id_token": "TAG1", "reservation_number": 7,
        "expires_at": timezone.now() + timedelta(hours=1),
    }  # fmt: skip
    return commands.enqueue(
        charger_id=station.pk, action="ReserveNow", parameters=parameters, actor="test",
        idempotency_key=f"{evse_number}:{Command.objects.count()}",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("protocol", "key"),
    [("ocpp1.6", "ReserveConnectorZeroSupported"), ("ocpp2.0.1", "ReservationCtrlr.NonEvseSpecific")],
)
def test_connector_zero_needs_the_chargers_word(organisation: Organisation, protocol: str, key: str) -> None:
    station = factories.charger(organisation, "BLR-017", protocol=protocol)
    assert reserve(station, 1).state == "queued"
    refused = reserve(station, 0)
    assert (refused.state, "does not say" in refused.reason) == ("failed", True)
    said = ConfigurationValue.objects.create(charger=station, key=key, value="false", reported_at=timezone.now())
    assert reserve(station, 0).state == "failed"
    said.value = "True"
    said.save()
    assert reserve(station, 0).state == "queued"
