"""What can be done at each plug, in a browser: at CPOs that really speak OCPI over HTTP, and where nothing can be."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import httpx
import pytest
from django.utils import timezone
from playwright.sync_api import Locator, Page, expect

from billing.tests.factories import fund
from dispatch.models import Reservation, SessionCommand
from dispatch.tests.test_reserving_elsewhere import push_session, sent, tell_booking
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.celery import app as celery
from fleetcharge.demo.peers import vendor
from stations.models import EVSE, Connector, Location, NetworkAccess, Source
from stations.tests import conftest as peers
from stations.tests.ocpi_peers import Network
from tests.e2e.city import City
from tests.e2e.conftest import PHONE, Theme, Watched
from tests.e2e.test_accessibility import THEMES, violations
from tests.running import wait_for
from vehicles.models import IdToken, Vehicle

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
ours, usual, modern = peers.ours, peers.usual, peers.modern
PLATE = "KA 03 MX 4471"
INDIA = ZoneInfo("Asia/Kolkata")


@pytest.fixture(autouse=True)
def _work_at_once(ours: str, city: City, organisation: Organisation) -> Iterator[None]:
    """Tasks run where they are started; the van that the page has chosen has a card and a wallet behind it."""
    IdToken.objects.filter(vehicle=city.late).update(uid="CARD1")
    fund(organisation, 1_000_000)
    celery.conf.task_always_eager = True
    yield
    celery.conf.task_always_eager = False


@pytest.fixture
def volt(usual: Network, organisation: Organisation) -> Network:
    return opened(usual, organisation)


@pytest.fixture
def slots(modern: Network, organisation: Organisation) -> Network:
    return opened(modern, organisation)


def opened(net: Network, organisation: Organisation) -> Network:
    NetworkAccess.objects.create(source=net.source, organisation=organisation)
    return net


@pytest.fixture
def kaveri(organisation: Organisation) -> Connector:
    """A plug of a vendor that pushes its status and can be told nothing."""
    now = timezone.now()
    source = Source.objects.create(slug="kaveri", name=vendor.NAME, kind="webhook", state="connected", last_push_at=now)
    NetworkAccess.objects.create(source=source, organisation=organisation)
    site = Location.objects.create(
        source=source, name="Kaveri BTM", address="BTM Main Road", city="Bengaluru", latitude=12.9166, longitude=77.6101
    )
    evse = EVSE.objects.create(location=site, uid="KVR-001-1", physical_reference="1")
    return Connector.objects.create(
        evse=evse, connector_id=1, plug="ccs2", max_power_w=60_000, status="available", reported_status="available",
        status_at=now, heard_at=now, status_since=now,
    )  # fmt: skip


def show(page: Page, site: str) -> Locator:
    """The drawer with that site, found as a dispatcher finds it."""
    page.keyboard.press("Control+k")
    page.keyboard.type(site)
    expect(page.locator("#palette [role=option]").first).to_contain_text(site)
    page.keyboard.press("Enter")
    drawer = page.locator("#drawer")
    expect(drawer.get_by_role("heading", name=site)).to_be_visible()
    return drawer.locator(".con").first


def said(page: Page, text: str) -> None:
    expect(page.locator("#toasts").get_by_text(text)).to_be_visible()


def confirm(page: Page, title: str, button: str) -> None:
    dialog = page.get_by_role("dialog", name=title)
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name=button, exact=True).click()
    expect(dialog).to_be_hidden()


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.textContent.trim()"))


def clock(at: datetime) -> str:
    return f"{at.astimezone(INDIA):%H:%M}"


# --- now ----------------------------------------------------------------------------------------------------------
def test_a_bay_is_held_extended_and_given_up(dashboard: Callable[..., Page], volt: Network, web: Watched) -> None:
    page = dashboard()
    bay = show(page, "Volt 1")
    for name in ("Hold now", "Book later", "Start"):
        expect(bay.get_by_role("button", name=name)).to_be_visible()
    bay.get_by_role("button", name="Hold now").click()
    said(page, f"Bay 1 is being reserved for {PLATE}.")
    expect(bay).to_contain_text(f"{PLATE} · reserved until")
    row = Reservation.objects.get()
    assert (row.state, row.way, row.vehicle.registration) == ("confirmed", "network", PLATE)
    expect(bay.get_by_role("button", name="Hold now")).to_have_count(0)

    extend = bay.get_by_role("button", name="Extend")
    extend.click()
    page.keyboard.press("Escape")
    expect(extend).to_be_focused()
    extend.click()
    page.get_by_label("How long").select_option("45")
    confirm(page, "Keep bay 1 for longer?", "Extend")
    later = row.expires_at + timedelta(minutes=45)
    said(page, f"Bay 1 is kept for {PLATE} until {clock(later)}.")
    row.refresh_from_db()
    assert (row.expires_at, row.agreed_until) == (later, None)
    assert len(sent(volt, "RESERVE_NOW")) == 2

    bay.get_by_role("button", name="Cancel").click()
    confirm(page, "Give bay 1 up?", "Give it up")
    expect(bay.get_by_role("button", name="Hold now")).to_be_visible()
    row.refresh_from_db()
    assert row.state == "cancelled"
    assert len(sent(volt, "CANCEL_RESERVATION")) == 1
    assert web.errors == []


def test_a_second_place_is_had_only_for_the_first(dashboard: Callable[..., Page], volt: Network) -> None:
    page = dashboard()
    show(page, "Volt 1").get_by_role("button", name="Hold now").click()
    said(page, f"Bay 1 is being reserved for {PLATE}.")
    first = Reservation.objects.get()
    hold = show(page, "Volt 2").get_by_role("button", name="Hold now")
    hold.click()
    question = page.get_by_role("dialog", name=f"Move {PLATE} to bay 1?")
    expect(question).to_contain_text(f"{PLATE} has another place at that time.")
    page.keyboard.press("Escape")
    assert Reservation.objects.get() == first
    hold.click()
    confirm(page, f"Move {PLATE} to bay 1?", "Give it up and reserve")
    said(page, f"Bay 1 is reserved for {PLATE} until")
    first.refresh_from_db()
    assert (first.state, first.reason) == ("cancelled", "replaced")
    assert Reservation.objects.active().get().connector.evse.location.name == "Volt 2"
    assert len(sent(volt, "CANCEL_RESERVATION")) == 1


def test_a_hold_can_be_taken_back_with_one_key(dashboard: Callable[..., Page], volt: Network) -> None:
    page = dashboard()
    bay = show(page, "Volt 1")
    bay.get_by_role("button", name="Hold now").click()
    expect(bay).to_contain_text("reserved until")
    page.keyboard.press("z")
    said(page, "Taken back.")
    expect(bay.get_by_role("button", name="Hold now")).to_be_visible()
    assert Reservation.objects.get().state == "cancelled"


def test_what_the_network_has_not_answered_is_shown_as_asked(dashboard: Callable[..., Page], volt: Network) -> None:
    volt.peer.async_result = ""
    page = dashboard()
    bay = show(page, "Volt 1")
    bay.get_by_role("button", name="Hold now").click()
    expect(bay).to_contain_text("asking VoltGrid…")
    expect(bay.get_by_role("button", name="Extend")).to_be_disabled()
    response_url = sent(volt, "RESERVE_NOW")[0]["response_url"]
    volt.peer.async_result = "ACCEPTED"
    httpx.post(response_url, json={"result": "ACCEPTED"}, headers=volt.peer.headers()).raise_for_status()
    expect(bay).to_contain_text("reserved until")


def test_a_refusal_stays_with_its_reason(dashboard: Callable[..., Page], volt: Network) -> None:
    volt.peer.async_result = "EVSE_OCCUPIED"
    page = dashboard()
    bay = show(page, "Volt 1")
    bay.get_by_role("button", name="Hold now").click()
    expect(bay).to_contain_text("VoltGrid refused the reservation: the bay is occupied")
    said(page, f"VoltGrid refused bay 1 for {PLATE}.")


def test_a_session_is_limited_told_when_to_be_ready_and_its_cable_freed(
    dashboard: Callable[..., Page], volt: Network, web: Watched
) -> None:
    page = dashboard()
    bay = show(page, "Volt 1")
    expect(bay.get_by_role("button", name="Unlock")).to_have_count(0)  # nobody of ours hangs there
    bay.get_by_role("button", name="Start").click()
    confirm(page, f"Start charging {PLATE} at bay 1?", "Start charging")
    push_session(volt, SessionCommand.objects.get())
    said(page, f"{PLATE} is charging at bay 1.")
    bay.get_by_role("button", name="Limit power").click()
    page.get_by_label("At most, in kW").fill("22.5")
    confirm(page, f"Limit {PLATE} at bay 1?", "Limit")
    said(page, f"{PLATE} draws 22.5 kW at most.")
    assert volt.peer.profiles[-1][2]["charging_profile"]["charging_profile_period"][0]["limit"] == 22_500.0
    bay.get_by_role("button", name="Ask its outlook").click()
    confirm(page, f"Ask what {PLATE} will be given?", "Ask")
    said(page, f"VoltGrid told what {PLATE} will be given; it stands at bay 1.")
    expect(bay).to_contain_text("will be given 30 kW; 11 kW from")
    outlook_from_the_vehicle(page, volt)
    bay = show(page, "Volt 1")
    ready = bay.get_by_role("button", name="Ready by")
    ready.click()
    confirm(page, f"When must {PLATE} be ready?", "Tell the network")
    expect(bay).to_contain_text("VoltGrid refused: it wants to know when the vehicle leaves")
    ready.click()
    begin = (timezone.now() + timedelta(hours=3)).astimezone(INDIA)
    page.get_by_label("From").fill(f"{begin:%Y-%m-%dT%H:%M}")
    page.get_by_label("Energy needed, in kWh").fill("30")
    confirm(page, f"When must {PLATE} be ready?", "Tell the network")
    said(page, f"VoltGrid charges {PLATE} as you wish.")
    assert volt.peer.preferences["S1"]["energy_need"] == 30
    bay.get_by_role("button", name="Unlock").click()
    confirm(page, "Unlock bay 1?", "Unlock")
    said(page, "Bay 1 is unlocked.")
    assert len(sent(volt, "UNLOCK_CONNECTOR")) == 1
    assert web.errors == []


def outlook_from_the_vehicle(page: Page, volt: Network) -> None:
    """The same in the drawer of the vehicle."""
    asked = len(volt.peer.profiles)
    show(page, PLATE)
    page.locator("#drawer").get_by_role("button", name="Ask its outlook").click()
    confirm(page, f"Ask what {PLATE} will be given?", "Ask")
    expect(page.locator("#drawer .body")).to_contain_text(re.compile("· will be given 30 kW; 11 kW from"))
    wait_for("the network to be asked", lambda: len(volt.peer.profiles) == asked + 1)
    assert violations(page) == []


# --- for later ----------------------------------------------------------------------------------------------------
def test_a_time_slot_is_booked_in_the_fleets_own_time(dashboard: Callable[..., Page], slots: Network) -> None:
    """OCPI 2.3.0 Bookings, by a browser in another time zone."""
    page = dashboard(timezone_id="America/New_York")
    bay = show(page, "Volt 1")
    bay.get_by_role("button", name="Book later").click()
    dialog = page.get_by_role("dialog", name=f"Book bay 1 for {PLATE}")
    expect(dialog).to_contain_text("VoltGrid books the time slot.")
    begin = (timezone.now() + timedelta(hours=3)).astimezone(INDIA).replace(minute=30, second=0, microsecond=0)
    page.get_by_label("From").fill(f"{begin:%Y-%m-%dT%H:%M}")
    page.get_by_label("How long").select_option("60")
    confirm(page, f"Book bay 1 for {PLATE}", "Book")
    expect(bay).to_contain_text("asking VoltGrid…")
    row = Reservation.objects.get()
    assert (row.way, row.starts_at, row.expires_at) == ("booking", begin, begin + timedelta(hours=1))
    tell_booking(slots, "RESERVED", 1)
    expect(bay).to_contain_text("booked,")
    said(page, f"Bay 1 is booked for {PLATE}, {clock(begin)} to {clock(row.expires_at)}.")
    expect(bay.get_by_role("button", name="Hold now")).to_be_visible()  # until then it is free


def test_only_a_place_at_the_time_that_was_asked_about_is_given_up(
    dashboard: Callable[..., Page], slots: Network, city: City
) -> None:
    soon = (timezone.now() + timedelta(hours=3)).astimezone(INDIA).replace(minute=30, second=0, microsecond=0)
    late = soon + timedelta(hours=4)
    plug = Connector.objects.filter(evse__location__name="Volt 1").earliest("pk")
    held = [
        Reservation.objects.create(
            organisation=city.late.organisation, vehicle=city.late, connector=plug, state="confirmed", way="soft",
            id_token="CARD1", starts_at=begin, expires_at=begin + timedelta(minutes=30),
        )
        for begin in (soon, late)
    ]  # fmt: skip
    page = dashboard()
    show(page, "Volt 2").get_by_role("button", name="Book later").click()
    dialog = page.get_by_role("dialog", name=f"Book bay 1 for {PLATE}")
    at, long = page.get_by_label("From"), page.get_by_label("How long")
    book, give_up = (dialog.get_by_role("button", name=name, exact=True) for name in ("Book", "Give it up and reserve"))
    at.fill(f"{soon:%Y-%m-%dT%H:%M}")
    book.click()
    expect(give_up).to_be_visible()
    expect(dialog.get_by_role("alert")).to_contain_text(f"{PLATE} has another place at that time.")

    at.fill(f"{late:%Y-%m-%dT%H:%M}")
    expect(give_up).to_have_count(0)
    expect(page.locator("#deed-error")).to_have_text("")
    book.click()
    expect(give_up).to_be_visible()  # asked again, about the other place
    long.select_option("45")
    expect(give_up).to_have_count(0)
    book.click()
    expect(give_up).to_be_visible()
    assert set(Reservation.objects.active()) == set(held)

    give_up.click()
    expect(dialog).to_be_hidden()
    states = dict(Reservation.objects.values_list("pk", "state"))
    assert [states[row.pk] for row in held] == ["confirmed", "cancelled"]
    made = Reservation.objects.active().exclude(pk=held[0].pk).get()
    assert (made.starts_at, made.expires_at) == (late, late + timedelta(minutes=45))


def test_what_cannot_be_booked_is_said_in_the_dialog(dashboard: Callable[..., Page], volt: Network) -> None:
    page = dashboard()
    bay = show(page, "Volt 1")
    Reservation.objects.create(
        organisation=volt.source.access.get().organisation, vehicle=other_van(), connector=volt.plug(),
        starts_at=timezone.now() + timedelta(hours=1), expires_at=timezone.now() + timedelta(hours=9),
        state="confirmed",
    )  # fmt: skip
    bay.get_by_role("button", name="Book later").click()
    dialog = page.get_by_role("dialog", name=f"Book bay 1 for {PLATE}")
    expect(dialog).to_contain_text("FleetCharge keeps it for your vehicle, and asks VoltGrid half an hour before.")
    begin = (timezone.now() + timedelta(hours=4)).astimezone(INDIA)
    page.get_by_label("From").fill(f"{begin:%Y-%m-%dT%H:%M}")
    dialog.get_by_role("button", name="Book", exact=True).click()
    expect(dialog.get_by_role("alert")).to_have_text("This bay is promised to another vehicle at that time.")
    expect(dialog).to_be_visible()
    assert Reservation.objects.count() == 1


def other_van() -> Vehicle:
    return Vehicle.objects.get(registration="KA 03 MX 4475")


# --- start and stop -----------------------------------------------------------------------------------------------
def test_charging_is_started_and_stopped(dashboard: Callable[..., Page], volt: Network) -> None:
    page = dashboard()
    bay = show(page, "Volt 1")
    bay.get_by_role("button", name="Start").click()
    dialog = page.get_by_role("dialog", name=f"Start charging {PLATE} at bay 1?")
    expect(dialog).to_contain_text(re.compile(r"VoltGrid asks ₹[\d.]+ per kWh before GST"))
    assert not SessionCommand.objects.exists()  # asked first
    confirm(page, f"Start charging {PLATE} at bay 1?", "Start charging")
    expect(bay).to_contain_text("accepted, waiting for the session to begin…")
    command = SessionCommand.objects.get()
    assert len(sent(volt, "START_SESSION")) == 1
    push_session(volt, command)
    said(page, f"{PLATE} is charging at bay 1.")

    bay.get_by_role("button", name="Stop").click()
    confirm(page, "Stop charging at bay 1?", "Stop charging")
    expect(bay).to_contain_text("accepted, waiting for the session to end…")
    assert [body["session_id"] for body in sent(volt, "STOP_SESSION")] == ["S1"]
    ended = timezone.now() + timedelta(minutes=1)
    push_session(volt, command, status="COMPLETED", last_updated=ended.strftime("%Y-%m-%dT%H:%M:%SZ"))
    said(page, "The session at bay 1 has ended.")
    wait_for("the stop", lambda: SessionCommand.objects.filter(kind="stop", state="done").exists())


def test_a_refused_start_says_why(dashboard: Callable[..., Page], volt: Network) -> None:
    volt.peer.async_result = "EVSE_INOPERATIVE"
    page = dashboard()
    bay = show(page, "Volt 1")
    bay.get_by_role("button", name="Start").click()
    confirm(page, f"Start charging {PLATE} at bay 1?", "Start charging")
    expect(bay).to_contain_text("VoltGrid refused to start: the bay is out of order")
    said(page, f"VoltGrid refused to start charging {PLATE}.")


# --- networks that cannot -----------------------------------------------------------------------------------------
def test_a_network_without_reservations_gets_a_hold_of_ours(dashboard: Callable[..., Page], kaveri: Connector) -> None:
    page = dashboard()
    bay = show(page, "Kaveri BTM")
    expect(page.locator("#drawer").get_by_role("button", name="Hold bay 1 until")).to_be_visible()
    expect(bay.get_by_role("button", name="Start")).to_have_count(0)
    bay.get_by_role("button", name="Hold now").click()
    expect(bay).to_contain_text(f"{PLATE} · held by FleetCharge until")
    row = Reservation.objects.get()
    assert (row.state, row.way) == ("confirmed", "soft")
    said(page, f"by FleetCharge: {vendor.NAME} takes no reservations.")
    bay.get_by_role("button", name="Book later").click()
    expect(page.get_by_role("dialog")).to_contain_text(f"{vendor.NAME} takes no reservations: your other vehicles")


def test_without_an_agreement_nothing_is_offered(dashboard: Callable[..., Page], usual: Network) -> None:
    page = dashboard()
    bay = show(page, "Volt 1")
    expect(page.locator("#drawer")).to_contain_text("Your fleet has no agreement with this network.")
    expect(bay.get_by_role("button")).to_have_count(0)


def test_who_may_only_look_gets_no_buttons(web: Watched, city: City, volt: Network, finance: User) -> None:
    page = web.sign_in(web.page(), finance)
    expect(page.locator("#live[data-state=live]")).to_be_attached()
    bay = show(page, "Volt 1")
    expect(bay).to_contain_text("CCS2")
    expect(bay.get_by_role("button")).to_have_count(0)


# --- for everybody ------------------------------------------------------------------------------------------------
@THEMES
def test_axe_finds_nothing(dashboard: Callable[..., Page], volt: Network, theme: Theme) -> None:
    page = dashboard(theme=theme)
    bay = show(page, "Volt 1")
    volt.peer.async_result = ""
    bay.get_by_role("button", name="Hold now").click()
    expect(bay).to_contain_text("asking VoltGrid…")
    assert violations(page) == []
    bay.get_by_role("button", name="Book later").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert violations(page) == []


def test_by_keyboard_alone(dashboard: Callable[..., Page], volt: Network) -> None:
    page = dashboard()
    show(page, "Volt 1")
    expect(page.locator("#drawer h2")).to_be_focused()
    for _ in range(12):
        page.keyboard.press("Tab")
        if focused(page) == "Start":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Start charging")).to_be_focused()
    page.keyboard.press("Escape")
    assert focused(page) == "Start"
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(page.locator("#drawer")).to_contain_text("accepted, waiting for the session to begin…")
    assert SessionCommand.objects.count() == 1


def test_on_a_phone_every_button_can_be_hit(dashboard: Callable[..., Page], volt: Network) -> None:
    page = dashboard(viewport=PHONE, has_touch=True, is_mobile=True)
    bay = show(page, "Volt 1")
    for button in bay.get_by_role("button").all():
        box = button.bounding_box()
        assert box and box["height"] >= 44, button.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(page) == []
    bay.get_by_role("button", name="Book later").tap()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert violations(page) == []
