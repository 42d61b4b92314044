"""The main job in a browser against the running system: low charge, re-route, reserve, charge, pay, prove."""

import asyncio
import re
import threading
import time
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.charger import TestCharger
from tests.e2e.conftest import PATIENCE_MS
from tests.fleet import seed_code
from tests.running import COMPRESSED, RunningSystem, wait_for

PASSWORD = "correct horse battery"
NEAR_BELLANDUR = (12.9255, 77.6655)
HUBS = {"HUB1-000": (12.9595, 77.7000), "HUB2-000": (12.9260, 77.6762)}

pytestmark = pytest.mark.browser


class Street:
    """Chargers on real sockets, in a thread of their own, and a van that pings."""

    def __init__(self, system: RunningSystem, fleet: dict[str, Any]) -> None:
        self.system, self.fleet = system, fleet
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.chargers = {
            identity: TestCharger(system.ocpp, identity, key) for identity, key in fleet["charger_keys"].items()
        }
        self.lines = [asyncio.run_coroutine_threadsafe(charger.run(), self.loop) for charger in self.chargers.values()]

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(200)

    def report(self, position: tuple[float, float], soc: float) -> None:
        """Three pings that agree: a jump in place or charge is believed only then."""
        pings = [
            {"ts": time.time() - 0.2 * late, "lat": position[0], "lon": position[1], "soc": soc, "speed_kmh": 0}
            for late in (2, 1, 0)
        ]
        told = self.system.api("/ingest/v1/pings", self.fleet["api_key"], {"device": "van-0", "pings": pings})
        assert told["accepted"] == 3, told

    def reserved_charger(self, among: set[str]) -> TestCharger:
        found: TestCharger = wait_for(
            "a ReserveNow at a charger",
            lambda: next((c for name, c in self.chargers.items() if name in among and c.reserved), None),
        )
        return found

    def stop(self) -> None:
        for line in self.lines:
            line.cancel()
        self.do(asyncio.sleep(0.1))
        self.loop.call_soon_threadsafe(self.loop.stop)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    system = RunningSystem(tmp_path_factory.mktemp("flow"), FLEETCHARGE_STATIC_STORAGE=COMPRESSED)
    try:
        system.wait_until_ready()
        street = Street(system, system.manage(seed_code()))
        for charger in street.chargers.values():
            street.do(charger.status("Available"))
        yield street
        street.stop()
    finally:
        system.stop()


def sign_in(browser: Browser, street: Street, email: str, path: str) -> Page:
    page = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce").new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{street.system.web}/login/?next={path}")
    page.get_by_label(re.compile("mail", re.I)).fill(email)
    page.get_by_label(re.compile("^password", re.I)).fill(PASSWORD)
    page.get_by_role("button", name=re.compile("sign in", re.I)).click()
    page.wait_for_url(f"**{path}")
    return page


def test_a_van_runs_low_and_everything_follows(browser: Browser, street: Street) -> None:
    api_key = street.fleet["api_key"]
    street.report(NEAR_BELLANDUR, 40)
    page = sign_in(browser, street, "asha@namma.example", "/dispatch/")
    queue = page.get_by_role("complementary")
    expect(page.get_by_text("KA 03 MX 4471").first).to_be_visible()

    street.report(NEAR_BELLANDUR, 14)
    expect(queue.get_by_role("button", name=re.compile("Accept"))).to_be_visible()
    offer = queue.inner_text()
    assert re.search(r"\+\d+ min", offer), offer
    assert "₹" in offer, offer
    plan = street.system.api("/api/v1/plans/?state=proposed", api_key)["results"][0]
    assert plan["connector"]["max_power_w"] == 60_000
    assert 0 < plan["arrival_soc_percent"] < 14
    assert f"{plan['arrival_soc_percent']:.0f} %" in page.locator("body").inner_text()

    page.keyboard.press("a")
    first = street.reserved_charger(set(HUBS))
    wait_for("the reservation", lambda: street.system.api("/api/v1/plans/?state=reserved", api_key)["results"])

    # the reserved charger faults: another one is offered, and accepted
    street.do(first.status("Faulted"))
    expect(queue.get_by_role("button", name=re.compile("Accept"))).to_be_visible()
    page.keyboard.press("a")
    second = street.reserved_charger(set(HUBS) - {first.identity})
    assert second.reserved is not None
    reservation = second.reserved["reservationId"]

    # the van arrives and charges for some seconds
    street.report(HUBS[second.identity], 12)
    transaction = street.do(second.start("TAG0000", 500_000, reservation))
    street.do(second.status("Charging"))
    for second_of_charging in range(8):
        street.do(second.meter(transaction, 500_000 + 6 * second_of_charging, 48_000, 12))
        street.report(HUBS[second.identity], 12)
        time.sleep(0.7)  # a real session: energy, time and GPS must agree
    wait_for("a charging plan", lambda: street.system.api("/api/v1/plans/?state=charging", api_key)["results"])
    street.do(second.stop(transaction, 500_050, "TAG0000"))
    street.do(second.status("Available"))

    # paid from the wallet, to the paisa: 50 Wh at 20 rupees a kWh, and 18 % GST
    def paid() -> Any:
        return [cdr for cdr in street.system.api("/api/v1/cdrs/", api_key)["results"] if cdr["total_paise"]]

    cdr = wait_for("a priced CDR", paid)[0]
    assert (cdr["energy_wh"], cdr["taxable_paise"], cdr["total_paise"]) == (50, 100, 118)
    wallet = wait_for("the debit", lambda: _debited(street.system.api("/api/v1/wallet/", api_key)))
    assert (wallet["posted_paise"], wallet["held_paise"]) == (50_00_000 - 118, 0)

    # and proven: the verdict stands in the finance admin
    def judged() -> Any:
        session = street.system.api("/api/v1/sessions/", api_key)["results"][0]
        return session if session["verdict"] else None

    session = wait_for("a verdict", judged)
    session = street.system.api(f"/api/v1/sessions/{session['id']}/", api_key)
    assert session["verdict"] == "verified", session["evidence"]
    desk = sign_in(browser, street, "farid@namma.example", "/admin/billing/chargingsession/")
    row = desk.get_by_role("row").filter(has_text="KA 03 MX 4471")
    expect(row).to_contain_text("Verified")
    expect(row).to_contain_text("1.18")


def _debited(wallet: dict[str, Any]) -> dict[str, Any] | None:
    return wallet if wallet["posted_paise"] < 50_00_000 and not wallet["held_paise"] else None
