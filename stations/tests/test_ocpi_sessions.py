"""Sessions and CDRs of every version: replaced, appended, out of order, immutable, taken back by a credit."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from django.db import DatabaseError

from fleetcharge.demo.peers import objects
from stations import tasks
from stations.cpo.ocpi.models import CDRConflict, RoamingCDR, RoamingSession
from stations.cpo.ocpi.watchdog import watch_pending
from stations.models import CPOCommand
from stations.tests.ocpi_peers import Network, code

pytestmark = pytest.mark.django_db(transaction=True)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER, LATEST = "2026-11-21T06:20:00Z", "2026-11-21T06:30:00Z"


def session(net: Network, *args: Any, **changes: Any) -> dict[str, Any]:
    return objects.session(net.version, *args, **changes)


def cdr(net: Network, *args: Any, **changes: Any) -> dict[str, Any]:
    return objects.cdr(net.version, *args, **changes)


# --- sessions --------------------------------------------------------------------------------------------------------
def test_a_session_is_kept_with_its_plug_and_token(everywhere: Network) -> None:
    assert code(everywhere.peer.put("sessions", "S1", body=session(everywhere))) == (201, 1000)
    assert code(everywhere.peer.put("sessions", "s1", body=session(everywhere))) == (200, 1000)
    held = RoamingSession.objects.get()
    assert (held.key, held.status, held.energy_wh, held.token_uid) == ("IN*VLT*S1", "ACTIVE", 4500, "CARD1")
    assert held.connector == everywhere.plug()
    assert held.total_before_taxes is None  # absent is not free
    assert held.started_at == datetime(2026, 11, 21, 6, tzinfo=UTC)


def test_put_replaces_the_periods_and_patch_appends_them(everywhere: Network) -> None:
    everywhere.peer.put("sessions", "S1", body=session(everywhere))
    more = {"kwh": 9.0, "last_updated": LATER, "charging_periods": [objects.period(LATER, ENERGY=4.5)]}
    assert code(everywhere.peer.patch("sessions", "S1", body=more)) == (200, 1000)
    assert code(everywhere.peer.patch("sessions", "S1", body=more)) == (200, 1000)  # equal: applied once
    held = RoamingSession.objects.get()
    assert (held.energy_wh, len(held.periods), held.token_uid) == (9000, 2, "CARD1")
    cost = {"total_cost": objects.money(everywhere.version, 90.0), "last_updated": LATEST, "status": "COMPLETED"}
    everywhere.peer.patch("sessions", "S1", body=cost)
    held.refresh_from_db()
    assert (held.status, held.total_before_taxes, len(held.periods)) == ("COMPLETED", Decimal(90), 2)
    bare = session(everywhere, last_updated=LATEST, status="COMPLETED")
    del bare["charging_periods"]
    everywhere.peer.put("sessions", "S1", body=bare)
    held.refresh_from_db()
    assert (held.periods, held.total_before_taxes, held.energy_wh) == ([], None, 4500)


def test_older_news_of_a_session_changes_nothing(everywhere: Network) -> None:
    everywhere.peer.put("sessions", "S1", body=session(everywhere, last_updated=LATER, kwh=7))
    assert code(everywhere.peer.put("sessions", "S1", body=session(everywhere, kwh=1))) == (200, 1000)
    old = {"kwh": 2, "last_updated": objects.STAMP}
    assert code(everywhere.peer.patch("sessions", "S1", body=old)) == (200, 1000)
    assert RoamingSession.objects.get().energy_wh == 7000


def test_a_session_is_shown_as_it_was_told(everywhere: Network) -> None:
    everywhere.peer.put("sessions", "S1", body=session(everywhere))
    shown = everywhere.peer.get("sessions", "S1").json()["data"]
    assert (shown["id"], shown["kwh"]) == ("S1", 4.5)
    assert ("start_datetime" in shown) is (everywhere.version == "2.1.1")
    assert everywhere.peer.get("sessions", "S9").status_code == 404


@pytest.mark.parametrize(
    "bad",
    [{"kwh": -1}, {"kwh": "NaN"}, {"status": None}, {"last_updated": "soon"}, {"id": "other"}, {"currency": "RUPEE"}],
)
def test_a_session_we_cannot_use_is_2001(usual: Network, bad: dict[str, Any]) -> None:
    assert code(usual.peer.put("sessions", "S1", body=session(usual, **bad))) == (200, 2001)
    assert not RoamingSession.objects.exists()


def test_sessions_and_cdrs_are_pulled(everywhere: Network) -> None:
    everywhere.peer.lists["sessions"] = [session(everywhere, f"S{n}") for n in range(1, 4)]
    everywhere.peer.lists["cdrs"] = [cdr(everywhere), "nonsense", cdr(everywhere, "C2", total_time=-1)]
    source = everywhere.poll_since_october()
    assert (RoamingSession.objects.count(), RoamingCDR.objects.count()) == (3, 1)
    assert source.state == "connected"
    asked = [query for _, path, query, _ in everywhere.peer.calls if path.endswith("/sessions")]
    assert all("date_from" in query for query in asked)


def test_a_patch_of_an_unknown_session_fetches_it(usual: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.fetch_session, "delay", tasks.fetch_session)
    usual.peer.lists["sessions"] = [session(usual)]
    assert code(usual.peer.patch("sessions", "S1", body={"kwh": 1, "last_updated": LATER})) == (404, 2000)
    assert RoamingSession.objects.get().energy_wh == 4500


def test_a_start_is_proven_by_its_session_even_after_a_timeout(usual: Network) -> None:
    command = CPOCommand.objects.create(
        source=usual.source, kind="START_SESSION", state="timed_out", reservation_key="ref-1", request={},
        response_token_hash="x", deadline_at=datetime(2026, 11, 21, tzinfo=UTC),
    )  # fmt: skip
    usual.peer.put("sessions", "S1", body=session(usual, reference="ref-1"))
    command.refresh_from_db()
    assert (command.state, command.session_ref) == ("session_seen", "S1")


def test_without_our_reference_token_site_and_time_join_them(everywhere: Network) -> None:
    command = CPOCommand.objects.create(
        source=everywhere.source, kind="START_SESSION", state="failed", reservation_key="ref-1",
        request={"location_id": "L1", "token": {"uid": "CARD1"}}, response_token_hash="x",
        deadline_at=datetime(2026, 11, 21, tzinfo=UTC),
    )  # fmt: skip
    CPOCommand.objects.update(created_at=datetime(2026, 11, 21, 5, 58, tzinfo=UTC))
    everywhere.peer.put("sessions", "S1", body=session(everywhere))
    command.refresh_from_db()
    assert command.state == "session_seen"


def test_a_session_that_stays_pending_is_asked_about_and_stopped(usual: Network) -> None:
    usual.peer.put("sessions", "S1", body=session(usual, status="PENDING", start_date_time="2026-11-21T06:00:00Z"))
    usual.peer.lists["sessions"] = [session(usual, status="PENDING")]
    RoamingSession.objects.update(updated_at=NOON - timedelta(minutes=9))
    assert watch_pending(now=NOON) == 0  # plugging in takes a while
    RoamingSession.objects.update(updated_at=NOON - timedelta(minutes=10), started_at=NOON - timedelta(minutes=11))
    assert (watch_pending(now=NOON), watch_pending(now=NOON)) == (1, 0)
    assert "/2.2.1/sessions/S1" in usual.peer.paths()
    assert usual.peer.commands == []
    RoamingSession.objects.update(started_at=NOON - timedelta(minutes=31))
    for minutes in (11, 22):
        assert watch_pending(now=NOON + timedelta(minutes=minutes)) == 1
    assert [(kind, body["session_id"]) for kind, body in usual.peer.commands] == [("STOP_SESSION", "S1")]


def test_a_session_that_has_begun_meanwhile_is_not_stopped(usual: Network) -> None:
    usual.peer.put("sessions", "S1", body=session(usual, status="PENDING"))
    usual.peer.lists["sessions"] = [session(usual, last_updated=LATER)]
    RoamingSession.objects.update(updated_at=NOON - timedelta(hours=1))
    assert watch_pending(now=NOON) == 1
    assert (RoamingSession.objects.get().status, usual.peer.commands) == ("ACTIVE", [])


# --- CDRs ------------------------------------------------------------------------------------------------------------
def test_a_cdr_is_kept_for_good_at_an_address_of_its_own(everywhere: Network) -> None:
    answer = everywhere.peer.push("POST", "cdrs", body=cdr(everywhere))
    assert code(answer) == (201, 1000)
    held = RoamingCDR.objects.get()
    assert (held.energy_wh, held.total_seconds, held.total_before_taxes) == (20_000, 1800, Decimal(390))
    assert held.total_after_taxes == (None if everywhere.version == "2.1.1" else Decimal("460.2"))
    assert held.connector == everywhere.plug()
    shown = httpx.get(answer.headers["location"], headers=everywhere.peer.headers())
    assert shown.json()["data"] == cdr(everywhere)
    again = everywhere.peer.push("POST", "cdrs", body={**cdr(everywhere), "total_energy": 20, "remark": None})
    assert code(again) == (200, 1000)
    assert again.headers["location"] == answer.headers["location"]


def test_another_cdr_under_the_same_id_is_refused_and_kept_for_finance(everywhere: Network) -> None:
    everywhere.peer.push("POST", "cdrs", body=cdr(everywhere))
    for _ in range(2):
        answer = everywhere.peer.push("POST", "cdrs", body=cdr(everywhere, total_energy=25.0))
        assert code(answer) == (200, 2001)
    assert RoamingCDR.objects.get().energy_wh == 20_000
    assert CDRConflict.objects.get().raw["total_energy"] == 25.0


def test_a_credit_takes_a_cdr_back_and_only_its_total_is_negative(usual: Network) -> None:
    usual.peer.push("POST", "cdrs", body=cdr(usual))
    back = {"credit": True, "credit_reference_id": "C1", "total_cost": {"excl_vat": -390.0, "incl_vat": -460.2}}
    assert code(usual.peer.push("POST", "cdrs", body=cdr(usual, "C1-C", **back))) == (201, 1000)
    credit = RoamingCDR.objects.get(is_credit=True)
    assert (credit.credit_reference, credit.total_after_taxes, credit.energy_wh) == ("C1", Decimal("-460.2"), 20_000)


@pytest.mark.parametrize(
    "bad",
    [{"credit": True}, {"credit": True, "credit_reference_id": "C1"}, {"end_date_time": "2026-11-20T00:00:00Z"},
     {"total_cost": None}, {"total_cost": {"excl_vat": "lots"}}, {"total_energy": -1}],
)  # fmt: skip
def test_a_cdr_that_does_not_hold_together_is_2001(usual: Network, bad: dict[str, Any]) -> None:
    assert code(usual.peer.push("POST", "cdrs", body=cdr(usual, **bad))) == (200, 2001)
    assert not RoamingCDR.objects.exists()


def test_nothing_changes_a_cdr_not_even_by_hand(usual: Network) -> None:
    usual.peer.push("POST", "cdrs", body=cdr(usual))
    with pytest.raises(DatabaseError, match="append-only"):
        RoamingCDR.objects.update(energy_wh=1)
    with pytest.raises(DatabaseError, match="append-only"):
        RoamingCDR.objects.all().delete()
    assert usual.peer.push("PUT", "cdrs", body=cdr(usual)).status_code == 405
    assert usual.peer.push("GET", "cdrs", "guess").status_code == 404


def test_tax_lines_of_2_3_0_are_kept(modern: Network) -> None:
    modern.peer.push("POST", "cdrs", body=cdr(modern))
    assert [tax["name"] for tax in RoamingCDR.objects.get().taxes] == ["CGST", "SGST"]
