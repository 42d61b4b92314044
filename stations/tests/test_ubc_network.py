"""UBC end to end with a real BPP over HTTP, signed both ways: discover to rating, and what goes wrong on the way."""

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from fleetcharge.celery import app as celery
from fleetcharge.demo.peers.ubc import BPP, CDS, SuryaCharge
from fleetcharge.lib import events
from stations.cpo import registry
from stations.cpo.base import Capability, CPOError, CPOUnavailable, ReserveRequest, StartRequest, StopRequest
from stations.cpo.ubc import flow, orders, signing, webhook, wire
from stations.cpo.ubc.models import UBCCarry, UBCItem, UBCMessage, UBCNetwork, UBCOrder, UBCRefusal
from stations.events import NetworkOrderChanged, NetworkOrderSettled, ReservationAnswered, UnpaidBalanceCarried
from stations.models import Connector, Location, RoamingCDR, RoamingSession, Source
from stations.tasks import poll_source
from stations.tests.serving import serve
from tests.running import wait_for

pytestmark = pytest.mark.django_db(transaction=True)
BAP = "fleet.example"


@pytest.fixture
def ours(settings: Any) -> Iterator[str]:
    celery.conf.task_always_eager = True
    with serve(webhook.ubc) as base:
        settings.PUBLIC_BASE_URL = base
        settings.OCPI_ALLOW_PRIVATE_HOSTS = True
        yield base
    webhook.threads.close()
    celery.conf.task_always_eager = False


@pytest.fixture
def surya() -> Iterator[SuryaCharge]:
    peer = SuryaCharge()
    with serve(peer) as base:
        peer.base = base
        yield peer


@pytest.fixture
def network(ours: str, surya: SuryaCharge, db: None) -> UBCNetwork:
    source = Source.objects.create(slug="ubc", name="UBC", kind="ubc-0.9")
    seed, public = signing.new_key_pair()
    surya.registry[BAP, "k1"] = public
    network = UBCNetwork(
        source=source, subscriber_id=BAP, key_id="k1", gateway_id=CDS, gateway_url=f"{surya.base}/cds",
        registry_url=f"{surya.base}/registry/dedi/lookup/{{subscriber_id}}/subscribers.beckn.one/{{key_id}}",
        areas=[{"latitude": 12.97, "longitude": 77.59, "radius_m": 20_000}], finder_fee_percent="2.5", order_kwh=10,
        buyer={"name": "Namma Logistics", "gstin": "29ABCDE1234F1Z5"},
    )  # fmt: skip
    network.signing_key = seed
    network.save()
    return network


@pytest.fixture
def connector(network: UBCNetwork) -> Connector:
    assert poll_source(network.source_id) == 2, Source.objects.get().last_error
    return Connector.objects.get(ubc_item__item_id="IND*SURYA*BLR001*1*1")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the apps above us hear."""
    heard: list[Any] = []
    for kind in (ReservationAnswered, NetworkOrderSettled, UnpaidBalanceCarried):
        monkeypatch.setitem(events._handlers, kind, [heard.append])
    monkeypatch.setitem(events._handlers, NetworkOrderChanged, [])  # the ledger is not in question here
    return heard


def adapter() -> Any:
    return registry.adapter_for(Source.objects.get(slug="ubc"))


def reserve(connector: Connector, key: str = "R1") -> Any:
    request = ReserveRequest(connector, key, 1, "TAG-1", timezone.now() + timedelta(minutes=30))
    return adapter().reserve(request)


def reaches(look: Callable[[], Any], wanted: Any) -> None:
    """Subscribers hear after the commit, in a thread of our endpoint: what is stored is seen before it is told."""
    with contextlib.suppress(AssertionError):
        wait_for("what is told", lambda: look() == wanted)
    assert look() == wanted


def order_in(state: str, **where: Any) -> UBCOrder:
    look = lambda: UBCOrder.objects.filter(state=state, **where).first()  # noqa: E731
    return wait_for(f"an order that is {state}; there are {list(UBCOrder.objects.all())}", look)


def settled(order: UBCOrder) -> UBCOrder:
    """The order once nothing is under way any more."""

    def look() -> bool:
        order.refresh_from_db()
        return not order.awaited and not order.next_action

    wait_for("the order to be at rest", look)
    return order


def charge(connector: Connector, key: str = "R1") -> UBCOrder:
    """Reserve, start, stop."""
    reserve(connector, key)
    order = settled(order_in("confirmed", reservation_key=key))
    adapter().start(StartRequest(connector, f"S-{key}", "TAG-1"))
    order_in("charging", pk=order.pk)
    settled(order)
    adapter().stop(StopRequest(connector, str(order.transaction_id), "stop"))
    return settled(order_in("completed", pk=order.pk))


# --- discover -----------------------------------------------------------------------------------------------------
def test_a_discover_fills_the_registry(network: UBCNetwork, connector: Connector) -> None:
    assert list(Location.objects.order_by("name").values_list("name", "city", "postal_code")) == [
        ("Surya Indiranagar", "Bengaluru", "560038"), ("Surya Koramangala", "Bengaluru", "560038"),
    ]  # fmt: skip
    assert (connector.plug, connector.max_power_w, connector.status, connector.raw_status) == (
        "ccs2", 60_000, "available", "Available",
    )  # fmt: skip
    assert Connector.objects.count() == 4
    assert connector.evse.is_reservable
    assert connector.evse.location.party is not None
    assert connector.evse.location.party.name == "Surya Charge Pvt Ltd"
    assert connector.tariff is not None
    assert connector.tariff.elements == [
        {
            "price_components": [
                {"type": "ENERGY", "price": "18.5", "step_size": 1},
                {"type": "PARKING_TIME", "price": "12", "step_size": 600},
            ]
        }
    ]
    network.source.refresh_from_db()
    assert network.source.state == "connected"


def test_our_messages_are_believed_and_carry_no_names_of_drivers(surya: SuryaCharge, connector: Connector) -> None:
    reserve(connector)
    settled(order_in("confirmed"))
    assert surya.refused == []
    assert [body["context"]["action"] for body in surya.heard] == ["discover", "select", "init", "confirm"]
    init = surya.heard[2]["message"]["order"]
    assert init["beckn:payment"]["beckn:beneficiary"] == "BAP"
    assert init["beckn:buyer"]["beckn:displayName"] == "Namma Logistics"
    assert all("TAG-1" not in str(body) for body in surya.heard)
    wait_for("our answers to its callbacks", lambda: len(surya.answers) == 4)
    assert [answer[1] for answer in surya.answers] == [200] * 4


def test_a_second_discover_keeps_our_ids_and_a_new_status_is_shown(
    network: UBCNetwork, surya: SuryaCharge, connector: Connector
) -> None:
    before = list(Connector.objects.order_by("pk").values_list("pk", "public_id"))
    surya.plugs["IND*SURYA*BLR001*1*1"].status = "Faulted"
    surya.swaps_coordinates = True
    poll_source(network.source_id)
    assert list(Connector.objects.order_by("pk").values_list("pk", "public_id")) == before
    connector.refresh_from_db()
    assert connector.status == "faulted"
    assert round(connector.evse.location.latitude, 2) == 12.97


def test_bad_items_are_named_and_the_others_kept(network: UBCNetwork, surya: SuryaCharge) -> None:
    nowhere = surya._item(next(iter(surya.plugs.values())))
    station = {"id": "X", "serviceLocation": {"geo": {"coordinates": [0, 0]}}}
    attributes = {**nowhere["beckn:itemAttributes"], "chargingStation": station}
    nowhere = {**nowhere, "beckn:id": "NOWHERE", "beckn:itemAttributes": attributes}
    surya.extra_items = [7, {"beckn:id": "NO-ATTRIBUTES"}, nowhere, {}]
    reports = list(flow.poll(network.source))
    refused = [entry["id"] for report in reports for entry in report.rejected]
    assert refused == [None, "NO-ATTRIBUTES", "NOWHERE", None]
    assert Connector.objects.count() == 4
    assert UBCRefusal.objects.get(code="refused_object").count == 4


def test_a_discovery_service_that_says_nothing_counts_as_a_failure(
    network: UBCNetwork, surya: SuryaCharge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "PATIENCE_SECONDS", 0.5)
    surya.silent = {"discover"}
    assert poll_source(network.source_id) == 0
    network.source.refresh_from_db()
    assert (network.source.failures_in_row, "does not answer" in network.source.last_error) == (1, True)


def test_what_the_network_names_no_more_is_hidden_and_comes_back(
    network: UBCNetwork, surya: SuryaCharge, connector: Connector
) -> None:
    taken = {key: surya.plugs.pop(key) for key in list(surya.plugs) if "BLR002" in key}
    long_ago = timezone.now() - timedelta(days=1)
    UBCItem.objects.filter(item_id__in=taken).update(seen_at=long_ago)
    Location.objects.update(created_at=long_ago)
    poll_source(network.source_id)
    assert list(Location.objects.filter(is_removed=True).values_list("name", flat=True)) == ["Surya Koramangala"]
    surya.plugs |= taken
    poll_source(network.source_id)
    assert not Location.objects.filter(is_removed=True).exists()


def test_a_unit_that_is_named_no_more_is_hidden_only_after_three_polls(
    network: UBCNetwork, surya: SuryaCharge, connector: Connector
) -> None:
    gone = surya.plugs.pop("IND*SURYA*BLR001*2*1")
    poll_source(network.source_id)
    assert Connector.objects.existing().count() == 4
    UBCItem.objects.filter(item_id=gone.item_id).update(seen_at=timezone.now() - timedelta(days=1))
    poll_source(network.source_id)
    assert Connector.objects.existing().count() == 3
    surya.plugs[gone.item_id] = gone
    poll_source(network.source_id)
    assert Connector.objects.existing().available().count() == 4


def test_one_connector_is_looked_up_and_its_neighbours_stay(network: UBCNetwork, connector: Connector) -> None:
    assert flow.look_up(network, item_id="IND*SURYA*BLR001*2*1")
    assert flow.look_up(network, address="https://surya.example/q/BLR002-1")
    assert Connector.objects.existing().count() == 4
    assert not flow.look_up(network, item_id="it's nothing")


# --- the whole way ------------------------------------------------------------------------------------------------
def test_from_discover_to_rating(surya: SuryaCharge, connector: Connector, told: list[Any]) -> None:
    assert reserve(connector).state == "pending"
    order = settled(order_in("confirmed"))
    assert (order.order_status, order.session_status, order.quoted_paise, order.paid_paise) == (
        "CONFIRMED", "PENDING", 19_962, 19_962,
    )  # fmt: skip
    reaches(lambda: [(event.reservation_key, event.state) for event in told], [("R1", "accepted")])

    adapter().start(StartRequest(connector, "S1", "TAG-1"))
    settled(order_in("charging", pk=order.pk))
    connector.refresh_from_db()
    assert connector.status == "charging"

    assert orders.want_news(order_id=order.pk, action="track", now=timezone.now())
    flow.step(order.pk)
    settled(order)
    assert (order.energy_wh, order.power_w, order.soc_percent) == (2400, 17_100, 65.0)  # by name, and the newest
    assert order.tracking_url.startswith("https://track.surya.example/")

    receipt = adapter().stop(StopRequest(connector, str(order.transaction_id), "stop-1"))
    assert receipt.state == "pending"
    order = settled(order_in("completed", pk=order.pk))
    assert (order.value_paise, order.balance_paise) == (19_962, 0)
    assert order.invoice_url == f"https://surya.example/invoices/{order.order_id}"
    connector.refresh_from_db()
    assert connector.status == "available"

    session, cdr = RoamingSession.objects.get(), RoamingCDR.objects.get()
    assert (session.status, session.energy_wh, session.connector_id) == ("COMPLETED", 10_000, connector.pk)
    assert (cdr.key, cdr.token_uid, cdr.total_after_taxes, cdr.energy_wh) == (
        f"IN*UBC*{order.transaction_id}", "TAG-1", Decimal("199.62"), 10_000,
    )  # fmt: skip

    flow.rate(order.pk, stars=4, comments="Clean and quick", tags=["clean-station"])
    flow.ask_for_support(order.pk, comments="The invoice lacks our GSTIN", tags=["billing-dispute"])
    wait_for("the rating", lambda: UBCOrder.objects.filter(pk=order.pk, is_rated=True, support_status="ACKNOWLEDGED"))
    order.refresh_from_db()
    assert order.support["phone"] == "18001080"
    heard = [body["context"]["action"] for body in surya.heard]
    assert heard == [
        "discover", "select", "init", "confirm", "update", "track", "update", "rating", "support",
    ]  # fmt: skip
    assert surya.refused == []
    assert not UBCRefusal.objects.exists()


def test_a_start_without_reservation_orders_first(surya: SuryaCharge, connector: Connector) -> None:
    receipt = adapter().start(StartRequest(connector, "S9", "TAG-2"))
    order = settled(order_in("charging"))
    assert receipt.reference == str(order.transaction_id)
    assert adapter().start(StartRequest(connector, "S9", "TAG-2")).reference == receipt.reference  # asked again
    assert UBCOrder.objects.count() == 1


def test_a_reservation_is_given_back(surya: SuryaCharge, connector: Connector, told: list[Any]) -> None:
    reserve(connector)
    order = settled(order_in("confirmed"))
    adapter().cancel(connector, "R1", 1)
    order = settled(order_in("cancelled", pk=order.pk))
    assert (order.refunded_paise, order.balance_paise) == (19_962, 0)
    assert surya.plugs[order.item_id].booked_by == ""
    reaches(
        lambda: [event.state for event in told if isinstance(event, ReservationAnswered)], ["accepted", "cancelled"]
    )


def test_a_running_session_cannot_be_cancelled_only_stopped(connector: Connector) -> None:
    adapter().start(StartRequest(connector, "S1", "TAG-1"))
    order = settled(order_in("charging"))
    UBCOrder.objects.update(reservation_key="R7")
    assert adapter().cancel(connector, "R7", 1).state == "rejected"
    order.refresh_from_db()
    assert order.state == "charging"


def test_an_overlap_is_a_refusal_with_the_networks_own_words(
    surya: SuryaCharge, connector: Connector, told: list[Any]
) -> None:
    surya.plugs["IND*SURYA*BLR001*1*1"].booked_by = "somebody else"
    reserve(connector)
    order = settled(order_in("rejected"))
    assert order.error == "Requested slot overlaps with an existing booking"
    reaches(lambda: [(event.state, event.reason) for event in told], [("rejected", order.error)])


def test_a_charger_that_refuses_to_start_ends_the_order(
    surya: SuryaCharge, connector: Connector, told: list[Any]
) -> None:
    surya.rejects_start = True
    reserve(connector)
    settled(order_in("confirmed"))
    adapter().start(StartRequest(connector, "S1", "TAG-1"))
    order = settled(order_in("rejected"))
    assert (order.error_code, order.error) == ("40006", "Charger rejects the current charging session")
    reaches(lambda: [event.state for event in told], ["accepted", "cancelled"])


def test_the_cpo_takes_a_reservation_back(surya: SuryaCharge, connector: Connector, told: list[Any]) -> None:
    reserve(connector)
    order = settled(order_in("confirmed"))
    sale = surya.sales[str(order.transaction_id)]
    call_back(surya, "on_cancel", sale, surya.withdraw(sale))
    settled(order_in("cancelled", pk=order.pk))
    reaches(
        lambda: [event.state for event in told if isinstance(event, ReservationAnswered)], ["accepted", "cancelled"]
    )


# --- money --------------------------------------------------------------------------------------------------------
def test_an_overcharge_is_a_fee_of_the_next_order_and_both_are_linked(
    surya: SuryaCharge, connector: Connector, told: list[Any]
) -> None:
    surya.drawn_factor = 1.5
    first = charge(connector, "R1")
    assert (first.paid_paise, first.value_paise, first.balance_paise) == (19_962, 29_444, 9_482)
    surya.drawn_factor = 1.0
    reserve(connector, "R2")
    second = settled(order_in("confirmed", reservation_key="R2"))
    carry = UBCCarry.objects.get()
    assert (carry.earlier_id, carry.charged_in_id, carry.amount_paise) == (first.pk, second.pk, 9_482)
    assert second.quoted_paise == 19_962 + 9_482
    first.refresh_from_db()
    assert first.balance_paise == 0
    carried = lambda: [  # noqa: E731
        (event.order_id, event.earlier_order_id, event.amount_paise, event.expected_paise)
        for event in told if isinstance(event, UnpaidBalanceCarried)
    ]  # fmt: skip
    reaches(carried, [(second.pk, first.pk, 9_482, 9_482)])


def test_an_undercharge_comes_back_and_its_value_is_trusted_over_its_lines(
    surya: SuryaCharge, connector: Connector, told: list[Any]
) -> None:
    surya.drawn_factor = 0.5
    order = charge(connector)
    assert (order.paid_paise, order.value_paise, order.balance_paise) == (19_962, 10_481, -9_481)
    sale = surya.sales[str(order.transaction_id)]
    message = surya._order(sale)
    message["order"]["beckn:payment"] |= {
        "beckn:amount": {"currency": "INR", "value": 94.81},
        "beckn:paymentStatus": "REFUNDED",
    }
    call_back(surya, "on_status", sale, message)
    wait_for("the refund", lambda: UBCOrder.objects.filter(pk=order.pk, refunded_paise=9_481).exists())
    order.refresh_from_db()
    assert order.balance_paise == 0
    reaches(lambda: [event.balance_paise for event in told if isinstance(event, NetworkOrderSettled)], [-9_481, 0])


def test_terms_that_ask_for_more_than_the_quote_are_not_accepted(
    surya: SuryaCharge, connector: Connector, told: list[Any]
) -> None:
    def dearer(action: str, body: dict[str, Any]) -> dict[str, Any]:
        if action == "on_init":
            body["message"]["order"]["beckn:orderValue"] = {"currency": "INR", "value": 999}
        return body

    surya.on_callback = dearer
    reserve(connector)
    order = settled(order_in("rejected"))
    assert order.error == "the terms ask for more than the quote"
    reaches(lambda: [event.state for event in told], ["rejected"])
    assert "confirm" not in [body["context"]["action"] for body in surya.heard]


# --- out of order, twice, never -------------------------------------------------------------------------------------
def call_back(surya: SuryaCharge, action: str, sale: Any, message: dict[str, Any], **changes: Any) -> tuple[int, dict]:
    """Something the BPP says unasked; our answer."""
    import httpx

    context = {
        "version": "2.0.0", "action": action, "domain": sale.bap["domain"], "bap_id": BAP,
        "bap_uri": sale.bap["bap_uri"], "bpp_id": BPP, "bpp_uri": f"{surya.base}/bpp",
        "transaction_id": sale.transaction_id, "ttl": "PT30S",
        "message_id": f"m-{time.monotonic_ns()}", "timestamp": timezone.now().isoformat(), **changes,
    }  # fmt: skip
    raw = wire.dump({"context": context, "message": message, "error": {}})
    headers = {"Authorization": surya.sign(raw), "Content-Type": "application/json"}
    answer = httpx.post(f"{sale.bap['bap_uri']}/{action}", content=raw, headers=headers, timeout=60)
    return answer.status_code, answer.json()


def test_callbacks_that_come_twice_count_once(surya: SuryaCharge, connector: Connector, told: list[Any]) -> None:
    surya.twice = True
    order = charge(connector)
    wait_for("the repetitions", lambda: [answer[1] for answer in surya.answers].count(200) >= 11)
    assert UBCMessage.objects.filter(direction="in", action="on_confirm").count() == 1
    assert UBCRefusal.objects.get(code="repeated").count >= 5
    reaches(lambda: [type(event).__name__ for event in told], ["ReservationAnswered", "NetworkOrderSettled"])
    assert order.state == "completed"
    assert [body["context"]["action"] for body in surya.heard].count("confirm") == 1


def test_what_is_old_news_moves_nothing_back(surya: SuryaCharge, connector: Connector) -> None:
    order = charge(connector)
    sale = surya.sales[str(order.transaction_id)]
    sale.status, sale.session = "INPROGRESS", "ACTIVE"
    earlier = (timezone.now() - timedelta(minutes=5)).isoformat()
    assert call_back(surya, "on_update", sale, surya._order(sale), timestamp=earlier)[0] == 200
    assert call_back(surya, "on_init", sale, surya._order(sale), timestamp=earlier)[0] == 200
    order.refresh_from_db()
    assert (order.state, order.order_status, order.awaited, order.next_action) == ("completed", "COMPLETED", "", "")
    assert RoamingSession.objects.get().status == "COMPLETED"
    assert RoamingCDR.objects.count() == 1


def test_a_confirmation_before_the_terms_is_enough(surya: SuryaCharge, connector: Connector, told: list[Any]) -> None:
    surya.silent = {"init"}
    reserve(connector)
    order = order_in("quoted")
    sale = wait_for("the init", lambda: surya.sales.get(str(order.transaction_id)))
    wait_for("the init", lambda: "init" in [body["context"]["action"] for body in surya.heard])
    sale.status, sale.session = "CONFIRMED", "PENDING"
    assert call_back(surya, "on_confirm", sale, surya._order(sale))[0] == 200
    order_in("confirmed", pk=order.pk)
    assert call_back(surya, "on_init", sale, {**surya._order(sale)})[0] == 200
    order = settled(order)
    assert order.state == "confirmed"
    reaches(lambda: [event.state for event in told], ["accepted"])


def test_no_answer_in_time_is_an_answer_and_a_late_one_is_still_heard(
    surya: SuryaCharge, connector: Connector, told: list[Any]
) -> None:
    surya.silent = {"select"}
    reserve(connector)
    order = order_in("selecting")
    flow.sweep(timezone.now() + timedelta(seconds=31))
    order.refresh_from_db()
    assert (order.state, order.error) == ("failed", "no on_select in time")
    reaches(lambda: [event.state for event in told], ["timed_out"])
    wait_for("the select", lambda: str(order.transaction_id) not in surya.sales and len(surya.heard) > 1)
    surya.silent = set()
    sale_message, _ = surya._select(surya.heard[-1])
    assert call_back(surya, "on_select", surya.sales[str(order.transaction_id)], sale_message)[0] == 200
    settled(order_in("confirmed", pk=order.pk))
    reaches(lambda: [event.state for event in told], ["timed_out", "accepted"])


def test_a_confirm_nobody_answers_is_asked_about(surya: SuryaCharge, connector: Connector) -> None:
    surya.silent = {"confirm"}
    reserve(connector)
    order = order_in("initialised")
    wait_for("the confirm", lambda: "confirm" in [body["context"]["action"] for body in surya.heard])
    surya._confirm(surya.heard[-1])  # done, but never told
    flow.sweep(timezone.now() + timedelta(seconds=31))  # notices
    flow.sweep(timezone.now() + timedelta(seconds=32))  # asks
    settled(order_in("confirmed", pk=order.pk))


def test_a_network_that_cannot_be_reached_is_tried_again_and_given_up(
    surya: SuryaCharge, connector: Connector, told: list[Any]
) -> None:
    UBCItem.objects.update(bpp_uri="http://127.0.0.1:9/bpp")
    with pytest.raises(CPOUnavailable):
        reserve(connector)
    flow.sweep(timezone.now() + timedelta(minutes=1))
    assert UBCOrder.objects.get().state == "selecting"
    flow.sweep(timezone.now() + timedelta(minutes=2))
    order = UBCOrder.objects.get()
    assert (order.state, order.error_code) == ("failed", "cpo_unavailable")
    reaches(lambda: [event.state for event in told], ["timed_out"])


def test_a_nack_is_a_refusal(surya: SuryaCharge, connector: Connector, told: list[Any]) -> None:
    surya.nacks = {"select"}
    receipt = reserve(connector)
    assert receipt.state == "rejected"
    assert "not_now" in receipt.reason
    reaches(lambda: [event.state for event in told], ["rejected"])


def test_a_lost_step_is_found_by_the_sweep(surya: SuryaCharge, connector: Connector) -> None:
    celery.conf.task_always_eager = False  # nobody runs the task
    reserve(connector)
    for state in ("quoted", "initialised", "confirmed"):
        order_in(state)
        flow.sweep(timezone.now())
    assert UBCOrder.objects.get().state == "confirmed"


# --- adapter --------------------------------------------------------------------------------------------------------
def test_the_capabilities_decide_the_buttons(network: UBCNetwork) -> None:
    for capability in (Capability.PULL, Capability.RESERVE, Capability.START_STOP):
        assert registry.can(network.source, capability)
    assert not registry.can(network.source, Capability.PUSH)  # a callback of one order is no status of the others
    assert registry.stopper_for(network.source) is adapter()


def test_what_is_not_sold_cannot_be_ordered(surya: SuryaCharge, connector: Connector) -> None:
    UBCItem.objects.update(can_reserve=False)
    assert reserve(connector).state == "rejected"
    UBCItem.objects.all().delete()
    with pytest.raises(CPOError) as refused:
        reserve(connector)
    assert refused.value.code == "unknown_item"
    assert adapter().stop(StopRequest(connector, "nothing", "k")).reason == "UNKNOWN_SESSION"
    assert adapter().cancel(connector, "nothing", 1).state == "accepted"
