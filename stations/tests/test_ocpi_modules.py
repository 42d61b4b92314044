"""Tokens, commands, profiles, hubs, bookings and invoices: what else is exchanged, over HTTP in both directions."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from django.utils import timezone

from billing.models import AuthorisationDecision
from fleetcharge.accounts.models import Organisation
from fleetcharge.demo.peers import objects
from stations.cpo.base import (
    CommandReceipt,
    CPOUnavailable,
    LimitRequest,
    OutlookRequest,
    PreferRequest,
    ReserveRequest,
    StartRequest,
    StopRequest,
    UnlockRequest,
)
from stations.cpo.ocpi.adapter import OCPIAdapter
from stations.cpo.ocpi.booking import book
from stations.cpo.ocpi.models import PeerDocument
from stations.models import CPOCommand, Party
from stations.services.invoices import compare
from stations.tests.ocpi_peers import Network, code, give_access
from tests.running import wait_for
from vehicles.models import IdToken

pytestmark = pytest.mark.django_db(transaction=True)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def state_of(kind: str) -> str:
    return CPOCommand.objects.get(kind=kind).state


# --- tokens ----------------------------------------------------------------------------------------------------------
def test_a_cpo_reads_the_tokens_of_fleets_that_may_charge_there(
    everywhere: Network, organisation: Organisation, other_organisation: Organisation
) -> None:
    give_access(everywhere.source, organisation, "CARD1", "CARD2", "CARD3")
    IdToken.objects.create(organisation=other_organisation, uid="SECRET")
    first = everywhere.peer.push("GET", "tokens", limit="2", date_from="2020-01-01T00:00:00Z")
    assert [token["uid"] for token in first.json()["data"]] == ["CARD1", "CARD2"]
    assert first.headers["x-total-count"] == "3"
    link = first.links["next"]["url"]
    assert "limit=2" in link
    assert "date_from=" in link
    second = httpx.get(link, headers=everywhere.peer.headers())
    assert [token["uid"] for token in second.json()["data"]] == ["CARD3"]
    assert "next" not in second.links
    token = second.json()["data"][0]
    if everywhere.version == "2.1.1":
        assert (token["auth_id"], "contract_id" in token) == ("CARD3", False)
    else:
        assert (token["contract_id"], token["party_id"], token["whitelist"]) == (
            "IN-FLC-CARD3", "FLC", "ALLOWED_OFFLINE",
        )  # fmt: skip
    none = everywhere.peer.push("GET", "tokens", date_from="2999-01-01T00:00:00Z")
    assert none.json()["data"] == []
    assert code(everywhere.peer.push("GET", "tokens", limit="lots")) == (200, 2001)


def test_a_cpo_asks_whether_a_token_may_charge(everywhere: Network, organisation: Organisation) -> None:
    give_access(everywhere.source, organisation, "CARD1")
    where = {"location_id": "L1", "evse_uids": ["E1-1"]}
    answer = everywhere.peer.push("POST", "tokens", "card1", "authorize", body=where, type="RFID").json()
    assert (answer["status_code"], answer["data"]["allowed"]) == (1000, "NO_CREDIT")  # this fleet has no wallet
    assert answer["data"]["location"] == where
    assert AuthorisationDecision.objects.get().connector == everywhere.plug()
    IdToken.objects.update(is_active=False)
    answer = everywhere.peer.push("POST", "tokens", "CARD1", "authorize").json()
    assert answer["data"]["allowed"] == "BLOCKED"
    assert ("authorization_reference" in answer["data"]) is (everywhere.version != "2.1.1")


def test_questions_we_cannot_answer_have_their_codes(
    usual: Network, organisation: Organisation, other_organisation: Organisation
) -> None:
    give_access(usual.source, organisation, "CARD1")
    IdToken.objects.create(organisation=other_organisation, uid="SECRET")

    def ask(uid: str, body: Any = None) -> tuple[int, int]:
        return code(usual.peer.push("POST", "tokens", uid, "authorize", body=body))

    assert ask("NOBODY") == (404, 2004)
    assert ask("SECRET") == (404, 2004)  # a fleet without access to this network does not exist for it
    assert ask("CARD1", {"location_id": "L99"}) == (200, 2003)
    assert ask("CARD1", {"location_id": "L1", "evse_uids": ["E9"]}) == (200, 2003)
    assert ask("CARD1", {"evse_uids": ["E1-1"]}) == (200, 2002)


def test_our_tokens_are_pushed_after_each_poll(everywhere: Network, organisation: Organisation) -> None:
    give_access(everywhere.source, organisation, "CARD1", "CARD 2")
    everywhere.poll()
    assert set(everywhere.peer.tokens) == {"CARD1", "CARD 2"}
    assert everywhere.peer.tokens["CARD1"]["valid"] is True
    IdToken.objects.get(uid="CARD1").delete()
    card = IdToken.objects.get(uid="CARD 2")
    card.is_active = False
    card.save()
    everywhere.peer.tokens.clear()
    everywhere.poll()
    assert everywhere.peer.tokens["CARD 2"]["valid"] is False


# --- commands --------------------------------------------------------------------------------------------------------
def test_a_start_its_session_and_a_stop(everywhere: Network) -> None:
    adapter = OCPIAdapter(everywhere.source.kind)
    assert adapter.start(StartRequest(everywhere.plug(), "ref-1", "CARD1")).state == "pending"
    wait_for("the result", lambda: state_of("START_SESSION") == "accepted")
    kind, body = everywhere.peer.commands[0]
    assert (kind, body["location_id"], body["evse_uid"], body["token"]["uid"]) == (
        "START_SESSION",
        "L1",
        "E1-1",
        "CARD1",
    )
    assert ("authorization_reference" in body) is (everywhere.version != "2.1.1")
    assert body["response_url"].startswith(f"{everywhere.ours}/ocpi/{everywhere.version}/")
    now = timezone.now().isoformat()
    start = "start_datetime" if everywhere.version == "2.1.1" else "start_date_time"
    told = objects.session(everywhere.version, "S1", "CARD1", "ref-1", last_updated=now, **{start: now})
    everywhere.peer.put("sessions", "S1", body=told)
    assert state_of("START_SESSION") == "session_seen"
    assert adapter.stop(StopRequest(everywhere.plug(), "S1", "stop-1")).state == "pending"
    assert everywhere.peer.commands[1][1]["session_id"] == "S1"


def test_reservations_are_numbers_in_2_1_1_and_cannot_be_cancelled_there(everywhere: Network) -> None:
    adapter = OCPIAdapter(everywhere.source.kind)
    plug = everywhere.plug()
    adapter.reserve(ReserveRequest(plug, "7d3c", 41, "CARD1", timezone.now() + timedelta(minutes=30)))
    wait_for("the result", lambda: state_of("RESERVE_NOW") == "accepted")
    number = everywhere.peer.commands[0][1]["reservation_id"]
    receipt = adapter.cancel(plug, "7d3c", 41)
    if everywhere.version == "2.1.1":
        assert isinstance(number, int)
        assert receipt.state == "rejected"
    else:
        assert number == "7d3c"
        assert receipt.state == "pending"


def test_a_timeout_at_once_is_no_refusal(everywhere: Network) -> None:
    everywhere.peer.sync_result = "TIMEOUT"
    receipt = OCPIAdapter().start(StartRequest(everywhere.plug(), "ref-1", "CARD1"))
    assert receipt.state == "timed_out"
    told = objects.session(everywhere.version, reference="ref-1")
    CPOCommand.objects.update(created_at=datetime(2026, 11, 21, 6, tzinfo=UTC))
    everywhere.peer.put("sessions", "S1", body=told)
    assert state_of("START_SESSION") == "session_seen"


def test_unlocking_names_the_connector(usual: Network) -> None:
    OCPIAdapter().unlock(UnlockRequest(usual.plug(), "help-1"))
    assert usual.peer.commands[0] == ("UNLOCK_CONNECTOR", usual.peer.commands[0][1])
    assert usual.peer.commands[0][1]["connector_id"] == "1"


# --- charging profiles -----------------------------------------------------------------------------------------------
def test_a_profile_is_set_asked_for_and_cleared(usual: Network) -> None:
    adapter, plug = OCPIAdapter(), usual.plug()
    limit = {"charging_rate_unit": "W", "charging_profile_period": [{"start_period": 0, "limit": 30_000.0}]}
    assert adapter.limit(LimitRequest(plug, "S1", "p-1", 30_000)).state == "pending"
    assert adapter.outlook(OutlookRequest(plug, "S1", "p-2", 900)).state == "pending"
    assert adapter.limit(LimitRequest(plug, "S1", "p-3", None)).state == "pending"
    for kind in ("SET_PROFILE", "ACTIVE_PROFILE", "CLEAR_PROFILE"):
        wait_for(kind, lambda kind=kind: state_of(kind) == "accepted")
    assert [(method, session_id) for method, session_id, _ in usual.peer.profiles] == [
        ("PUT", "S1"), ("GET", "S1"), ("DELETE", "S1"),
    ]  # fmt: skip
    assert usual.peer.profiles[0][2]["charging_profile"] == limit
    assert usual.peer.profiles[1][2]["duration"] == "900"
    profile = CPOCommand.objects.get(kind="ACTIVE_PROFILE").result["profile"]
    assert profile["charging_profile"]["charging_rate_unit"] == "W"


def test_a_cpo_tells_that_the_profile_changed(usual: Network) -> None:
    active = {"start_date_time": objects.STAMP, "charging_profile": {"charging_rate_unit": "A"}}
    assert code(usual.peer.push("PUT", "chargingprofiles", "S1", body=active)) == (404, 2000)
    usual.peer.put("sessions", "S1", body=objects.session("2.2.1"))
    assert code(usual.peer.push("PUT", "chargingprofiles", "S1", body=active)) == (200, 1000)
    assert PeerDocument.objects.get(kind="profile").raw == active
    assert code(usual.peer.push("PUT", "chargingprofiles", "S1", body={})) == (200, 2001)


def test_a_driver_says_when_it_must_be_full(usual: Network) -> None:
    adapter, plug = OCPIAdapter(), usual.plug()
    assert adapter.prefer(PreferRequest(plug, "S1", "FAST")) == CommandReceipt("rejected", "DEPARTURE_REQUIRED")
    leaves_at = datetime(2026, 11, 21, 16, tzinfo=UTC)
    assert adapter.prefer(PreferRequest(plug, "S1", "GREEN", leaves_at, 30_000)).state == "accepted"
    wish = {"profile_type": "GREEN", "departure_time": "2026-11-21T16:00:00Z", "energy_need": 30.0}
    assert usual.peer.preferences == {"S1": wish}


# --- hubs ------------------------------------------------------------------------------------------------------------
def info(status: str, updated: str = objects.STAMP) -> dict[str, Any]:
    return {"party_id": "XYZ", "country_code": "IN", "role": "CPO", "status": status, "last_updated": updated}


def test_a_hub_tells_who_is_connected(usual: Network) -> None:
    def put(body: dict[str, Any]) -> tuple[int, int]:
        return code(usual.peer.push("PUT", "hubclientinfo", "IN", "XYZ", body=body))

    assert put(info("CONNECTED")) == (201, 1000)
    assert put(info("OFFLINE", "2026-11-21T08:00:00Z")) == (200, 1000)
    assert put(info("CONNECTED", "2026-11-21T07:00:00Z")) == (200, 1000)  # old news
    assert Party.objects.get(party_id="XYZ").hub_status == "OFFLINE"
    assert put({**info("OFFLINE"), "party_id": "ABC"}) == (200, 2001)
    shown = usual.peer.push("GET", "hubclientinfo", "IN", "XYZ").json()["data"]
    assert (shown["status"], shown["role"]) == ("OFFLINE", "CPO")
    assert usual.peer.push("GET", "hubclientinfo", "IN", "NOP").status_code == 404


def test_who_is_lost_to_its_hub_is_asked_for_nothing_new(usual: Network) -> None:
    request = StartRequest(usual.plug(), "ref-1", "CARD1")
    for status, is_asked in (("OFFLINE", False), ("SUSPENDED", False), ("CONNECTED", True)):
        told = {**info(status, timezone.now().isoformat()), "party_id": "VLT"}
        assert code(usual.peer.push("PUT", "hubclientinfo", "IN", "VLT", body=told)) == (200, 1000)
        if is_asked:
            assert OCPIAdapter().start(replace(request, connector=usual.plug())).state == "pending"
        else:
            with pytest.raises(CPOUnavailable, match=f"VoltGrid says that .* is {status.lower()}"):
                OCPIAdapter().start(replace(request, connector=usual.plug()))
            assert usual.peer.commands == []


def test_a_hub_is_asked_who_is_there(usual: Network) -> None:
    usual.peer.lists["hubclientinfo"] = [info("SUSPENDED"), {"status": "broken"}]
    usual.poll_since_october()
    assert Party.objects.get(party_id="XYZ").hub_status == "SUSPENDED"


# --- bookings --------------------------------------------------------------------------------------------------------
def test_where_one_can_book_is_pulled_pushed_and_patched(modern: Network) -> None:
    modern.peer.lists["booking_locations"] = [objects.booking_location(), {"id": "broken"}]
    modern.poll_since_october()
    held = PeerDocument.objects.get(kind="booking_location")
    assert (held.key, held.reference) == ("IN*VLT*BL1", "L1")
    slots = {"available_timeslots": [], "last_updated": "2026-11-21T07:00:00Z"}
    path = ("booking_locations", "BL1")
    assert code(modern.peer.patch("bookings", *path, "CAL1", body=slots)) == (200, 1000)
    shown = modern.peer.get("bookings", *path).json()["data"]
    assert (shown["calendars"][0]["available_timeslots"], shown["last_updated"]) == ([], "2026-11-21T07:00:00Z")
    assert shown["calendars"][0]["timeslot_increment"] == 15
    assert modern.peer.patch("bookings", *path, "CAL9", body=slots).status_code == 404
    terms = {"booking_terms": [], "last_updated": "2026-11-21T08:00:00Z"}
    assert code(modern.peer.patch("bookings", *path, body=terms)) == (200, 1000)
    assert code(modern.peer.patch("bookings", *path, body={"booking_terms": []})) == (200, 2001)
    assert modern.peer.push("DELETE", "bookings", "IN", "VLT", *path).status_code == 405
    new = objects.booking_location(id="BL2", tariff_id=["DAY"])
    assert code(modern.peer.put("bookings", "booking_locations", "BL2", body=new)) == (201, 1000)


def ask_for_a_slot(net: Network, **more: Any) -> str:
    until = NOON + timedelta(hours=1)
    return book(connector=net.plug(), booking_key="bk-1", id_token="CARD1", starts_at=NOON, ends_at=until, **more).state


def test_a_booking_is_asked_for_granted_changed_and_cancelled(modern: Network) -> None:
    assert ask_for_a_slot(modern, power_kw=60) == "pending"
    request = modern.peer.bookings["BK1"]["booking_requests"][0]["booking_request"]
    assert (request["power_required"], request["tokens"][0]["uid"], request["location_id"]) == (60, "CARD1", "L1")
    granted = objects.booking(request, "BK1", "RESERVED", "2026-11-21T07:00:00Z")
    assert code(modern.peer.put("bookings", "BK1", body=granted)) == (200, 1000)
    assert CPOCommand.objects.get(kind="BOOKING").state == "accepted"
    gone = {"reservation_status": "CANCELED", "last_updated": "2026-11-21T07:30:00Z",
            "canceled": {"cancellation_reason": "BROKEN_CHARGER", "who_canceled": "CPO"}}  # fmt: skip
    assert code(modern.peer.patch("bookings", "BK1", body=gone)) == (200, 1000)
    assert CPOCommand.objects.get(kind="BOOKING").state == "cancelled"
    held = PeerDocument.objects.get(kind="booking")
    assert (held.state, held.reference) == ("CANCELED", "bk-1")
    ask_for_a_slot(modern, is_cancelled=True)
    again = modern.peer.bookings["BK1"]["booking_requests"][0]["booking_request"]
    assert (again["request_id"], again["canceled"]["who_canceled"]) == ("bk-1", "EMSP")


def test_a_booking_may_be_refused_at_once(modern: Network) -> None:
    modern.peer.booking_status = "REJECTED"
    assert ask_for_a_slot(modern) == "rejected"
    assert CPOCommand.objects.get().state == "rejected"


# --- invoices --------------------------------------------------------------------------------------------------------
def test_an_invoice_is_compared_with_its_cdrs(modern: Network) -> None:
    modern.peer.push("POST", "cdrs", body=objects.cdr("2.3.0", "C1"))
    modern.peer.push("POST", "cdrs", body=objects.cdr("2.3.0", "C2"))
    record = objects.invoice("R1", "c1", "C2", "C3")
    assert code(modern.peer.push("POST", "invoicereconciliation", body=record)) == (201, 1000)
    held = PeerDocument.objects.get(kind="invoice")
    found = compare(held)
    assert (found.totals["INR"].before_taxes, found.totals["INR"].after_taxes) == (
        Decimal(780), Decimal("920.4"),
    )  # fmt: skip
    assert (found.missing, found.twice) == (("C3",), ())
    changed = objects.invoice("R1", "C1", "C1", last_updated="2026-11-22T00:00:00Z")
    assert code(modern.peer.put("invoicereconciliation", "R1", body=changed)) == (200, 1000)
    held.refresh_from_db()
    assert compare(held).twice == ("C1",)
    gone = modern.peer.push("DELETE", "invoicereconciliation", "IN", "VLT", "R1")
    assert code(gone) == (200, 1000)
    assert modern.peer.get("invoicereconciliation", "R1").status_code == 404


def test_a_cdr_on_two_invoices_is_found(modern: Network) -> None:
    modern.peer.lists["invoicereconciliation"] = [objects.invoice("R1", "C1"), objects.invoice("R2", "C1")]
    modern.poll_since_october()
    second = PeerDocument.objects.get(key="IN*VLT*R2")
    assert compare(second).on_another == ("C1",)


def test_modules_of_later_versions_do_not_exist_in_earlier_ones(usual: Network) -> None:
    for module in ("bookings", "invoicereconciliation", "payments"):
        url = f"{usual.ours}/ocpi/2.2.1/emsp/{module}/IN/VLT/X"
        assert httpx.get(url, headers=usual.peer.headers()).status_code == 404
    assert httpx.get(f"{usual.ours}/ocpi/1.0/emsp/locations", headers=usual.peer.headers()).status_code == 404
