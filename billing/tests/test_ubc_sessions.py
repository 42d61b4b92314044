"""What a UBC network says of an order reaches the fleet's sessions, its CDR and the ledger."""

import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from billing import handlers, tasks
from billing.models import CDR, ChargingSession, LedgerTransfer, OrderSettlement, PriceCheck
from billing.services import rating
from billing.tests.factories import fund
from fleetcharge.accounts.models import Organisation
from stations import services
from stations.models import NetworkAccess, RoamingCDR, RoamingSession
from stations.pricing import Prices, elements_of
from stations.tests.test_ubc_orders import STORY, an_order, example, make_connector, make_network, sent, tell
from vehicles.models import IdToken

pytestmark = pytest.mark.django_db
OURS = (
    tasks.follow_session, tasks.take_roaming_cdr, tasks.settle_order, tasks.settle_carried, tasks.compare_prices,
)  # fmt: skip


def test_an_order_on_ubc_is_a_session_and_a_cdr_of_the_fleet(
    organisation: Organisation, django_capture_on_commit_callbacks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers.hints, "start", lambda task, *args: task(*args) if task in OURS else None)
    network = make_network()
    connector = make_connector(network)
    tariff, _ = services.cache_tariff(
        source=network.source, external_id="o", elements=elements_of(Prices(per_kwh=Decimal(45))), currency="INR",
        at=timezone.now().replace(year=2024),
    )  # fmt: skip
    services.assign_tariff(tariff_id=tariff.pk, connector_ids=[connector.pk])
    NetworkAccess.objects.create(source=network.source, organisation=organisation)
    IdToken.objects.create(organisation=organisation, uid="T")
    fund(organisation, 1_000_000)

    order = an_order(connector, key=str(uuid.UUID(int=1)))
    for part, _ in STORY[:6]:
        if part.startswith("08_00"):
            sent(order, "confirm")
        tell(network, example(part), django_capture_on_commit_callbacks)
    session = ChargingSession.objects.get()
    assert (session.state, session.organisation, session.energy_wh) == ("active", organisation, 11_100)
    assert (session.power_w, session.soc_percent) == (17_100, 65.0)
    assert session.transaction_ref == str(order.transaction_id)  # so that a stop finds the order

    for part, _ in STORY[6:]:
        tell(network, example(part), django_capture_on_commit_callbacks)
    session.refresh_from_db()
    cdr = CDR.objects.get()
    assert (session.state, cdr.session_id, cdr.energy_wh) == ("ended", session.pk, 11_100)
    assert (RoamingSession.objects.count(), RoamingCDR.objects.count()) == (1, 1)
    rating.rate_and_capture(cdr_id=cdr.pk, now=timezone.now())
    cdr.refresh_from_db()
    assert cdr.taxable_paise == 49_950  # 11.1 kWh at 45
    assert LedgerTransfer.objects.filter(credit__code="cpo_payable:ubc").exists()
    order.refresh_from_db()
    settled = OrderSettlement.objects.get()
    assert (settled.paid_paise, settled.value_paise) == (order.paid_paise, PriceCheck.objects.get().theirs_after_paise)
