"""The demo city in the whole product, looked at through its public doors, as somebody does who has just started it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.running import RunningSystem, port_of_our_own, wait_for


class Demo:
    """A running product with its city, and what both say of themselves."""

    def __init__(self, system: RunningSystem, port: int) -> None:
        self.system, self.door = system, f"http://127.0.0.1:{port}/control"

    def state(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = httpx.get(f"{self.door}/state", timeout=60).json()
        except httpx.HTTPError as error:  # the city wakes after the product
            raise ConnectionError(str(error)) from None
        return found

    def van(self, registration: str) -> dict[str, Any]:
        return next(van for van in self.state()["vehicles"] if van["registration"] == registration)

    def sign_in(self, email: str) -> httpx.Client:
        """As in a browser: the form, the cookie, and the token that a page sends with what it writes."""
        people = json.loads((self.system.var / "demo_users.json").read_text())
        password = next(person["password"] for person in people if person["email"] == email)
        page = httpx.Client(base_url=self.system.web, timeout=60, follow_redirects=True)
        form = page.get("/login/").text
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
        assert token
        answer = page.post("/login/", data={"username": email, "password": password, "csrfmiddlewaretoken": token[1]})
        assert answer.status_code == 200, answer.text
        page.headers["X-CSRFToken"] = page.cookies["csrftoken"]
        return page

    def wait(self, what: str, look: Any) -> Any:
        try:
            return wait_for(what, look, seconds=180, every=0.5)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.system.logs()}") from None


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    port = port_of_our_own()
    running = RunningSystem(tmp_path_factory.mktemp("demo"), FLEETCHARGE_DEMO="1", FLEETCHARGE_DEMO_PORT=str(port))
    try:
        running.wait_until_ready()
        yield Demo(running, port)
    finally:
        running.stop()


def test_a_start_from_the_drawer_succeeds_and_the_van_charges(demo: Demo) -> None:
    [van] = demo.wait(
        "a van that waits to be started", lambda: [van for van in demo.state()["vehicles"] if van["waits_for_start"]]
    )
    identity, _, number = van["bay"].partition("/")
    city = json.loads((demo.system.var / "demo_city.json").read_text())
    charger = next(each for each in city["chargers"] if each["identity"] == identity)
    public_id = next(plug["public_id"] for plug in charger["plugs"] if plug["number"] == int(number))
    vehicle = next(each for each in city["vehicles"] if each["registration"] == van["registration"])
    page = demo.sign_in("dispatcher@namma.example")
    sites = page.get("/api/v1/stations/", params={"search": charger["site"], "page_size": 200}).json()["results"]
    site = next(each["public_id"] for each in sites if each["name"] == charger["site"])

    def buttons() -> set[str]:
        """Where the drawer offers a start, once the van's charger has said that somebody stands there."""
        drawer = page.get(f"/dispatch/stations/{site}/").text
        plugs = page.get(f"/api/v1/stations/{site}/").json()["connectors"]
        plug = next(each for each in plugs if each["public_id"] == public_id)
        found = re.findall(r'data-deed="start"[^>]*data-connector="(\d+)"', drawer)
        return set(found) if plug["status"] == "occupied" else set()

    offered = demo.wait("Start in the drawer", buttons)
    wish = {"vehicle_id": vehicle["id"], "connector_public_id": public_id}
    made = page.post("/api/v1/session-commands/start/", json=wish)
    assert made.status_code == 201, made.text
    assert str(made.json()["connector"]["id"]) in offered
    address = f"/api/v1/session-commands/{made.json()['key']}/"
    demo.wait("the session of the start", lambda: page.get(address).json()["state"] == "done")
    session = page.get(address).json()["session"]
    demo.wait("the van to charge", lambda: not demo.van(van["registration"])["waits_for_start"])
    bay = next(bay for bay in demo.state()["bays"] if bay["key"] == van["bay"])
    assert (bay["status"], bay["vehicle"]) == ("Charging", van["registration"])
    running = page.get("/sessions/").text
    assert van["registration"] in running
    stopped = page.post("/api/v1/session-commands/stop/", json={"session_id": session})
    assert stopped.status_code == 201, stopped.text
    address = f"/api/v1/session-commands/{stopped.json()['key']}/"
    demo.wait("the stop", lambda: page.get(address).json()["state"] == "done")


def test_duplicates_and_disputes_are_there_to_be_looked_at(demo: Demo) -> None:
    house, finance = demo.sign_in("operator@fleetcharge.example"), demo.sign_in("finance@namma.example")

    def pairs(state: str) -> list[str]:
        listed = house.get("/admin/stations/duplicate/", params={"state__exact": state}).text
        return re.findall(r"/admin/stations/duplicate/(\d+)/", listed)

    demo.wait("two pairs to be looked at", lambda: len(set(pairs("waiting"))) == 2)
    assert len(set(pairs("merged"))) == 1
    checks = demo.wait(
        "a price that differs",
        lambda: [
            row for row in finance.get("/api/v1/price-checks/").json()["results"] if row["state"] == "differs"
        ],
    )  # fmt: skip
    dispute = finance.get(f"/api/v1/price-checks/{checks[0]['id']}/dispute/", params={"as": "csv"})
    assert dispute.status_code == 200
    assert "Energy" in dispute.text
