"""The tables in a browser: what is done with their rows, in Hindi, and without a script."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from billing.models import ChargingSession
from dispatch import services
from dispatch.models import Reservation
from dispatch.wording import Says
from fleetcharge.accounts.models import User
from stations.models import Connector
from tests.e2e.city import City
from tests.e2e.conftest import DESKTOP, PHONE, Watched
from tests.e2e.test_accessibility import violations

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def busy(city: City) -> City:
    """What a day leaves: sessions, a reservation, alerts of two kinds, one of them closed."""
    now, fleet = timezone.now(), city.late.organisation
    plugs = list(Connector.objects.filter(evse__location__organisation=fleet).select_related("evse__location__source"))
    for number, van in enumerate(city.vans[:12]):
        ChargingSession.objects.create(
            organisation=fleet, source=plugs[number].evse.location.source, connector=plugs[number], vehicle=van,
            transaction_ref=f"T{number}", start_key=f"T{number}", started_at=now - timedelta(hours=number),
            energy_wh=number * 2_350, state="ended" if number else "active",
        )  # fmt: skip
    Reservation.objects.create(
        organisation=fleet, vehicle=city.vans[2], connector=plugs[3], state="confirmed", way="soft", id_token="T",
        expires_at=now + timedelta(minutes=25),
    )  # fmt: skip
    says = Says("charger_silent", ("last_heard",), {"ocpp_identity": "BLR-7", "place": "Hebbal", "last_seen_at": now})
    for kind, key in (("charger_silent", "a"), ("charger_silent", "b")):
        alert = services.open_alert(organisation_id=fleet.pk, kind=kind, dedupe_key=key, says=says, now=now)
    services.close_alert(alert_id=alert.pk, actor=None, reason="came back", now=now)
    return city


def test_a_table_is_filtered_sorted_and_exported_without_a_script(web: Watched, busy: City, dispatcher: User) -> None:
    page = web.sign_in(web.page(java_script_enabled=False), dispatcher, "/sessions/")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(12)
    page.get_by_label("State").select_option("active")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(rows).to_have_count(1)
    page.get_by_role("link", name="Show all").click()
    page.get_by_role("link", name="Energy").click()
    expect(page.locator("th[aria-sort=descending]")).to_have_text("Energy")
    expect(rows.first).to_contain_text("25.8 kWh")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()
    lines = download.value.path().read_text("utf-8-sig").splitlines()
    assert lines[0].startswith("session,started_at") and len(lines) == 13
    assert "25850" in lines[1]


def test_chosen_alerts_are_snoozed_and_a_place_is_given_up(web: Watched, busy: City, dispatcher: User) -> None:
    page = web.sign_in(web.page(viewport=PHONE), dispatcher, "/alerts/")
    page.get_by_role("checkbox", name=re.compile("^Choose .* will not reach")).check()
    page.get_by_role("button", name="Snooze 15 minutes").click()
    expect(page.get_by_role("status")).to_have_text("1 done.")
    assert page.locator(".filter").bounding_box()["height"] < 844 / 4  # type: ignore[index]
    page.set_viewport_size(DESKTOP)
    page.goto(f"{web.server.url}/reservations/")
    every = page.get_by_role("checkbox", name="Choose all rows of this page")
    every.check()
    expect(page.get_by_role("checkbox", name="Choose KA 03 MX 4473")).to_be_checked()
    page.get_by_text("Cancel…").click()
    page.get_by_role("button", name="Yes, give the chosen places up").click()
    expect(page.get_by_role("status")).to_have_text("1 done.")
    expect(page.locator("tbody")).to_contain_text("Cancelled")
    assert violations(page) == []
    assert web.errors == []


def test_the_alerts_read_in_hindi(web: Watched, busy: City, dispatcher: User) -> None:
    page = web.sign_in(web.page(), dispatcher, "/alerts/")
    page.get_by_role("group", name="Language").get_by_text("हिं").click()
    expect(page.locator("tbody")).to_contain_text("BLR-7 से सूचना बंद")
    expect(page.locator("html")).to_have_attribute("lang", "hi-IN")
