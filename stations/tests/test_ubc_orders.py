"""Orders in any order of callbacks, the watchdogs over them, and the specification's own catalogues and messages."""

import json
import random
import uuid
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from fleetcharge.lib import events
from stations.cpo.ubc import catalogue, flow, hearing, orders, wire
from stations.cpo.ubc.models import UBCCarry, UBCItem, UBCMessage, UBCNetwork, UBCOrder
from stations.events import NetworkOrderSettled, ReservationAnswered, UnpaidBalanceCarried
from stations.models import Connector, RoamingCDR, Source
from stations.tests.factories import make_public_connector

pytestmark = pytest.mark.django_db
EXAMPLES = Path(__file__).parent / "data/ubc"
TRANSACTION = "2b4d69aa-22e4-4c78-9f56-5a7b9e2b2002"
BPP = "example-bpp.com"


def example(part: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(next(EXAMPLES.glob(f"*{part}*")).read_bytes())
    return body


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any) -> Any:
    heard: list[Any] = []
    for kind in (ReservationAnswered, NetworkOrderSettled, UnpaidBalanceCarried):
        monkeypatch.setitem(events._handlers, kind, [heard.append])
    return heard


def make_network() -> UBCNetwork:
    source = Source.objects.create(slug="ubc", name="UBC", kind="ubc-0.9")
    return UBCNetwork.objects.create(source=source, subscriber_id="example-bap.com", key_id="k", registry_url="r")


def make_connector(network: UBCNetwork) -> Connector:
    connector = make_public_connector(network.source)
    UBCItem.objects.create(
        connector=connector, network=network, item_id="I1", bpp_id=BPP, bpp_uri="https://bpp", provider_id="eco",
        offers=[{"beckn:id": "o", "beckn:price": {"value": 45.0}}], seen_at=timezone.now(),
    )  # fmt: skip
    return connector


@pytest.fixture
def network() -> UBCNetwork:
    return make_network()


@pytest.fixture
def connector(network: UBCNetwork) -> Connector:
    return make_connector(network)


def an_order(connector: Connector, transaction_id: str = TRANSACTION, key: str = "R1") -> UBCOrder:
    now = timezone.now()
    order = orders.open_order(
        connector_id=connector.pk, now=now, expires_at=now + timedelta(hours=1), id_token="T", reservation_key=key
    )
    UBCOrder.objects.filter(pk=order.pk).update(transaction_id=uuid.UUID(transaction_id))
    order.refresh_from_db()
    return order


def tell(network: UBCNetwork, body: dict[str, Any], capture: Any, at: datetime | None = None) -> str:
    """One callback, as the receiver hands it on once it is believed and kept."""
    envelope = wire.understand(wire.parse(json.dumps(body).encode()))
    now = timezone.now()
    message = UBCMessage.objects.create(
        network=network, direction="in", subscriber_id=BPP, action=envelope.context.action, digest=uuid.uuid4().hex,
        transaction_id=envelope.context.transaction_id, message_id=envelope.context.message_id, raw=b"",
        authorization="", at=at or envelope.context.at,
    )  # fmt: skip
    with capture(execute=True):
        return hearing.apply_callback(message_id=message.pk, envelope=envelope, now=now)[0]


def sent(order: UBCOrder, action: str) -> None:
    """We have sent this, as `flow.step` does."""
    UBCOrder.objects.filter(pk=order.pk).update(next_action=action, next_at=timezone.now())
    assert orders.claim(order_id=order.pk, now=timezone.now()) is not None


# --- the specification's own messages ---------------------------------------------------------------------------------
STORY = [
    ("04_on_select_ev-charging-on_select.json", "quoted"),
    ("06_on_init_ev-charging-on-init-bap", "initialised"),
    ("08_00_on_confirm", "confirmed"),
    ("08_02_on_status", "confirmed"),
    ("10_on_update_ev-charging-start-on_update.json", "charging"),
    ("12_on_track", "charging"),
    ("13_on_status_ev-charging-session-interupt", "charging"),
    ("14_02_on_update_ev-charging-undercharge", "completed"),
    ("13_on_status_ev-charging-undercharge-refund", "completed"),
]


def test_the_story_of_the_specification(
    network: UBCNetwork, connector: Connector, told: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    order = an_order(connector)
    for part, state in STORY:
        if part.startswith("08_00"):
            sent(order, "confirm")
        assert tell(network, example(part), django_capture_on_commit_callbacks) == ""
        order.refresh_from_db()
        assert order.state == state, part
        if part.startswith("08_02"):
            connector.refresh_from_db()
            assert (connector.raw_status, connector.status) == ("PREPARING", "occupied")
    assert (order.quoted_paise, order.paid_paise, order.value_paise, order.refunded_paise) == (
        14_395,
        14_395,
        9_000,
        5_395,
    )
    assert (order.balance_paise, order.energy_wh, order.power_w) == (0, 11_100, 17_100)
    assert order.order_id == "order-ev-charging-001"
    assert [event.state for event in told if isinstance(event, ReservationAnswered)] == ["accepted"]
    assert [event.balance_paise for event in told if isinstance(event, NetworkOrderSettled)] == [-5_395, 0]
    cdr = RoamingCDR.objects.get()
    assert (cdr.total_after_taxes, cdr.energy_wh) == (90, 11_100)


def test_the_outstanding_balance_of_the_specification_finds_its_order(
    network: UBCNetwork, connector: Connector, told: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    first = an_order(connector)
    for part in ("04_on_select_ev-charging-on_select.json", "06_on_init_ev-charging-on-init-bap"):
        tell(network, example(part), django_capture_on_commit_callbacks)
    sent(first, "confirm")
    for part in ("08_00_on_confirm", "14_02_on_update_ev-charging-overcharge"):
        tell(network, example(part), django_capture_on_commit_callbacks)
    first.refresh_from_db()
    assert (first.state, first.balance_paise) == ("completed", 28_790 - 14_395)
    second = an_order(connector, "8f6e12bb-33c5-4d89-a167-6b8c9d3e4f05", "R2")
    tell(network, example("04_on_select_ev-charging-overcharge-outstanding"), django_capture_on_commit_callbacks)
    carry = UBCCarry.objects.get()
    assert (carry.earlier_id, carry.charged_in_id, carry.amount_paise, carry.named_order_id) == (
        first.pk, second.pk, 14_395, "order-ev-charging-001",
    )  # fmt: skip
    first.refresh_from_db()
    assert first.balance_paise == 14_395  # asked for, not yet paid
    sent(second, "confirm")
    confirmed = example("08_00_on_confirm")
    confirmed["context"] |= {"transaction_id": str(second.transaction_id)}
    confirmed["message"]["order"]["beckn:id"] = "order-2"
    tell(network, confirmed, django_capture_on_commit_callbacks)
    first.refresh_from_db()
    assert first.balance_paise == 0
    (event,) = [event for event in told if isinstance(event, UnpaidBalanceCarried)]
    assert (event.earlier_order_id, event.amount_paise, event.expected_paise) == (first.pk, 14_395, 14_395)


def test_an_overcharge_estimation_is_no_old_debt(
    network: UBCNetwork, connector: Connector, told: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    an_order(connector)
    tell(network, example("04_on_select_ev-charging-on_select.json"), django_capture_on_commit_callbacks)
    assert not UBCCarry.objects.exists()


@pytest.mark.parametrize(
    ("part", "state", "answer"),
    [
        ("04_on_select_ev-charging-on_select-Rejected", "rejected", "rejected"),
        ("20_on_cancel_cpo-cancels", "cancelled", "cancelled"),
        ("10_on_update_ev-charging-start-on_update-Rejected", "rejected", "rejected"),
    ],
)
def test_a_refusal_of_the_specification_ends_the_order(
    network: UBCNetwork, connector: Connector, told: list[Any], django_capture_on_commit_callbacks: Any, part: str,
    state: str, answer: str,
) -> None:  # fmt: skip
    order = an_order(connector)
    tell(network, example(part), django_capture_on_commit_callbacks)
    order.refresh_from_db()
    assert (order.state, order.next_action) == (state, "")
    assert [event.state for event in told] == [answer]


# --- any order ----------------------------------------------------------------------------------------------------
def test_whatever_order_callbacks_come_in_the_end_is_the_same(
    network: UBCNetwork, connector: Connector, told: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    dice = random.Random(7)
    began = timezone.now() - timedelta(hours=1)
    for turn in range(25):
        order = an_order(connector, str(uuid.UUID(int=turn + 1)), f"R{turn}")
        UBCOrder.objects.filter(pk=order.pk).update(paid_paise=14_395, quoted_paise=14_395)
        told.clear()
        story = [(began + timedelta(minutes=minute), part) for minute, (part, _) in enumerate(STORY[:8])]
        dice.shuffle(story)
        for at, part in story:
            body = example(part)
            body["context"]["transaction_id"] = str(order.transaction_id)
            tell(network, body, django_capture_on_commit_callbacks, at)
        order.refresh_from_db()
        facts = (order.state, order.order_status, order.session_status, order.value_paise, order.energy_wh)
        assert facts == ("completed", "COMPLETED", "COMPLETED", 9_000, 11_100), story
        assert (order.next_action, order.awaited, order.balance_paise) == ("", "", -5_395)
        assert [event.state for event in told if isinstance(event, ReservationAnswered)] == ["accepted"], story
    assert RoamingCDR.objects.count() == 25


def test_a_message_is_applied_once(
    network: UBCNetwork, connector: Connector, told: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    order = an_order(connector)
    body = example("08_00_on_confirm")
    tell(network, body, django_capture_on_commit_callbacks)
    message = UBCMessage.objects.get()
    UBCOrder.objects.filter(pk=order.pk).update(state="initialised")
    again = hearing.apply_callback(message_id=message.pk, envelope=wire.understand(body), now=timezone.now())
    assert again == ("", None)
    order.refresh_from_db()
    assert order.state == "initialised"


def test_a_confirmed_order_that_nobody_uses_is_given_back(network: UBCNetwork, connector: Connector) -> None:
    order = an_order(connector)
    UBCOrder.objects.filter(pk=order.pk).update(state="confirmed", next_action="", order_id="o")
    network.source.state = "connected"
    flow.sweep(order.expires_at)
    order.refresh_from_db()
    assert not order.wants_cancel
    UBCOrder.objects.update(bpp_uri="https://127.0.0.1/bpp")  # private: refused, never called
    flow.sweep(order.expires_at + timedelta(minutes=6))
    order.refresh_from_db()
    assert (order.wants_cancel, order.error_code) == (True, "no_key")


def test_an_order_that_never_gets_on_is_given_up_in_the_end(network: UBCNetwork, connector: Connector) -> None:
    order = an_order(connector)
    terms = {"beneficiary": "BPP"}  # it wants to be paid itself, and nobody pays
    UBCOrder.objects.filter(pk=order.pk).update(state="initialised", next_action="", terms=terms)
    flow.sweep(order.expires_at + timedelta(minutes=6))
    order.refresh_from_db()
    assert order.state == "cancelled"


def test_a_promise_is_given_back_before_it_is_made_without_a_word(network: UBCNetwork, connector: Connector) -> None:
    order = an_order(connector)
    assert orders.want_cancel(order_id=order.pk, now=timezone.now()) == "cancelled"
    assert orders.claim(order_id=order.pk, now=timezone.now()) is None


def test_while_our_confirm_is_under_way_a_cancel_waits_for_its_answer(
    network: UBCNetwork, connector: Connector, told: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    order = an_order(connector)
    UBCOrder.objects.filter(pk=order.pk).update(state="initialised", order_id="order-ev-charging-001")
    sent(order, "confirm")
    assert orders.want_cancel(order_id=order.pk, now=timezone.now()) == "pending"
    tell(network, example("08_00_on_confirm"), django_capture_on_commit_callbacks)
    order.refresh_from_db()
    assert (order.state, order.next_action) == ("confirmed", "cancel")


# --- catalogues ----------------------------------------------------------------------------------------------------
def test_the_catalogue_of_the_specification() -> None:
    raw = example("02_on_discover_ev-charging-on_discover")["message"]["catalogs"][0]
    found = catalogue.read(raw, at=wire.instant("2026-01-04T09:30:00Z"))
    assert found.refused == []
    assert [(site.name, site.city, site.postal_code, round(site.latitude, 2)) for site in found.locations] == [
        ("EcoPower BTM Hub", "Bengaluru", "560076", 12.97),
        ("GreenCharge Koramangala", "Bengaluru", "560034", 12.92),
        ("PowerGrid Indiranagar", "Bengaluru", "560008", 12.97),
    ]
    plugs = [(c.plug, c.max_power_w, c.power_type) for site in found.locations for c in site.evses[0].connectors]
    assert plugs == [("ccs2", 60_000, "DC"), ("ccs2", 120_000, "DC"), ("type2_socket", 22_000, "AC_3_PHASE")]
    assert [site.evses[0].status for site in found.locations] == ["available"] * 3
    later = catalogue.read(raw, at=wire.instant("2026-01-04T19:30:00Z"))
    assert [site.evses[0].status for site in later.locations] == ["available", "available", "unavailable"]
    first = found.tariffs[0].elements[0]["price_components"]
    assert [(part["type"], part["price"], part["step_size"]) for part in first] == [
        ("ENERGY", "45", 1), ("PARKING_TIME", "12", 600),
    ]  # fmt: skip
    assert all(len(tariff.external_id) <= 36 for tariff in found.tariffs)


def test_offers_that_are_over_price_nothing() -> None:
    raw = example("02_on_discover_specific")["message"]["catalogs"][0]
    found = catalogue.read(raw, at=wire.instant("2026-04-15T00:00:00Z"))  # the dearer one ended on 10 April
    assert [tariff.elements[0]["price_components"][0]["price"] for tariff in found.tariffs] == ["18.5"]
    assert catalogue.read(raw, at=wire.instant("2027-01-01T00:00:00Z")).tariffs == []
    both = catalogue.read(raw, at=wire.instant("2026-01-04T09:30:00Z"))
    assert [offer["beckn:price"]["value"] for offer in both.items[0].offers] == [18.5, 45]  # cheapest first


def test_words_nobody_knows_are_kept_and_never_fail() -> None:
    assert catalogue.known_status("Suspended_EV") == "occupied"
    assert catalogue.known_status("on the moon") == "unknown"
    service = wire.ChargingService.model_validate({"connectorType": "GBT", "maxPowerKW": 15})
    assert catalogue.plug_of(service, "DC") == "bharat_dc001"
    assert catalogue.plug_of(service.model_copy(update={"max_power_kw": Decimal(120)}), "DC") == "gbt_dc"
    assert catalogue.plug_of(wire.ChargingService.model_validate({"connectorType": "WARP"}), "DC") == "unknown"
    assert len(catalogue.short("x" * 300, 36)) == 36
    assert catalogue.short("x" * 300, 36) != catalogue.short("x" * 299, 36)
