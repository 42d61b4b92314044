"""Every page there is, in the light and in the dark, on a desk and on a phone, full and empty: nothing is wrong.

The list of pages is held against the URL configuration: a new address is a page with a visit here, or none.
FLEETCHARGE_SHOTS=<folder> keeps a picture of each page; FLEETCHARGE_PAGES=<expression> looks at those addresses only.
"""

import os
import re
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.test import Client, override_settings
from playwright.sync_api import Dialog, Page, Request, Response, expect

from dispatch import status_page
from fleetcharge.accounts.models import Organisation, User
from stations.models import Charger
from tests.belongings import belongings_of
from tests.e2e import addresses, test_charger_page, test_night_pages
from tests.e2e.addresses import Visit
from tests.e2e.city import City
from tests.e2e.conftest import PHONE, Theme, Watched
from tests.e2e.stage import set_up
from tests.e2e.test_accessibility import AXE_IS_THERE, COLOURS, told

SHOTS, ONLY = os.environ.get("FLEETCHARGE_SHOTS", ""), os.environ.get("FLEETCHARGE_PAGES", "")
depot, experiment, charger = test_night_pages.depot, test_night_pages.experiment, test_charger_page.charger
EVERY_RULE = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}  # off unless asked for
AS_ASKED = re.compile(r"^Failed to load resource: the server responded with a status of 4\d\d ")
UNFOLD = "for (const fold of document.querySelectorAll('details.fold')) fold.open = true"
NOTHING_UNDER_THE_TABS = "document.querySelector('.page > .tabs')?.style.setProperty('position', 'static')"  # scroll
ONE_OPERATION = """
document.querySelector('details.op > summary').click();
document.querySelectorAll('details.op:not([open]) > .op-body').forEach(body => body.remove());
"""  # axe passes over what is folded, but takes a minute to
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


# --- the list -----------------------------------------------------------------------------------------------------
def test_every_address_is_a_page_or_known_to_be_none() -> None:
    assert set(addresses.PAGES).isdisjoint(addresses.NO_PAGES)
    assert set(addresses.PAGES) | addresses.NO_PAGES == addresses.OURS


def test_what_is_called_no_page_shows_none(client: Client, organisation: Organisation, owner: User) -> None:
    client.force_login(owner)
    fleet = belongings_of(organisation)
    pages = []
    for route in addresses.NO_PAGES:
        answer: Any = client.get("/" + fleet.fill(route))
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        if answer.status_code == 200 and b"<html" in body:
            pages.append(route)
    assert pages == []


# --- the walk -----------------------------------------------------------------------------------------------------
class Walk:
    """One size of screen: a browser for each person, and what is wrong with the pages they see."""

    def __init__(self, web: Watched, people: dict[str, User | None], *, is_phone: bool) -> None:
        self.web, self.people, self.is_phone = web, people, is_phone
        self.theme: Theme = "dark" if is_phone else "light"  # where everything is looked at; colours in the other, too
        self.failed: list[str] = []
        self.found: dict[str, Any] = {}
        self._pages: dict[str, Page] = {}

    def visit(self, visit: Visit, path: str, secrets: tuple[str, ...] = ()) -> None:
        if not re.search(ONLY, path):
            return
        page = self._page_of(visit.who)
        self._forget()
        with override_settings(DEBUG=True) if path == "/styleguide/" else nullcontext():
            answer = page.goto(self.web.server.url + path)
        assert answer is not None
        self._settle(page, path)
        name = f"{visit.who} {path} {'phone' if self.is_phone else 'desk'}"
        problems = [*self._look(page, name), *self._went_wrong(visit.status)]
        problems += [f"shows {secret}" for secret in secrets if secret in page.content()]
        if answer.status != visit.status:
            problems.append(f"status {answer.status}")
        if problems:
            self.found[name] = problems

    def _page_of(self, who: str) -> Page:
        if who not in self._pages:
            options: dict[str, Any] = {"viewport": PHONE, "has_touch": True, "is_mobile": True} if self.is_phone else {}
            page = self._pages[who] = self.web.page(theme=self.theme, **options)
            page.on("requestfailed", self._request_failed)
            page.on("response", self._answered)
            page.on("dialog", self._asked)
            if user := self.people[who]:
                self.web.sign_in(page, user, "/privacy/")
        return self._pages[who]

    def _request_failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # we went on to the next page
            self.failed.append(f"{request.url}: {request.failure}")

    def _answered(self, answer: Response) -> None:
        if answer.status >= 400 and not answer.request.is_navigation_request():
            self.failed.append(f"{answer.url}: {answer.status}")

    def _asked(self, dialog: Dialog) -> None:
        self.failed.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def _forget(self) -> None:
        for told_of in (self.failed, self.web.errors, self.web.strangers):
            told_of.clear()

    def _settle(self, page: Page, path: str) -> None:
        page.evaluate(UNFOLD)
        page.evaluate(NOTHING_UNDER_THE_TABS)
        if page.locator("#live").count():
            expect(page.locator("#live[data-state=live]")).to_be_attached()
            expect(page.locator("#rows.virtual .row, #rows > .empty").first).to_be_attached()
        if path == "/api/v1/docs/":
            page.evaluate(ONE_OPERATION)

    def _look(self, page: Page, name: str) -> Iterator[Any]:
        """All rules in one theme, those about colours in the other."""
        self._shoot(page, f"{name} {self.theme}")
        yield from told(Axe().run(page, options=EVERY_RULE))
        if (wide := page.evaluate(SIDEWAYS)) > 0:
            yield f"{wide} px too wide"
        other: Theme = "light" if self.theme == "dark" else "dark"
        page.emulate_media(color_scheme=other)
        page.wait_for_function("theme => document.documentElement.dataset.theme === theme", arg=other)
        self._shoot(page, f"{name} {other}")
        yield from ((other, problem) for problem in told(Axe(AXE_IS_THERE).run(page, options=COLOURS)))
        page.emulate_media(color_scheme=self.theme)

    def _shoot(self, page: Page, name: str) -> None:
        if SHOTS:
            page.screenshot(path=Path(SHOTS) / f"{re.sub('[^a-z0-9]+', '-', name)}.png", full_page=True)

    def _went_wrong(self, status: int) -> list[str]:
        errors = [one for one in self.web.errors if status == 200 or not AS_ASKED.match(one)]
        return [*self.failed, *errors, *(f"asked {one}" for one in self.web.strangers)]


@pytest.fixture
def names(
    city: City, organisation: Organisation, depot: Any, experiment: Any, charger: Charger, finance: User,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, object]:  # fmt: skip
    monkeypatch.setattr(status_page, "_standings", {})
    return set_up(city, organisation, depot, charger)


def test_nothing_is_wrong_with_any_page(
    web: Watched, names: dict[str, object], owner: User, finance: User, stranger: User, city: City
) -> None:
    """With a fleet that has everything, under names nobody should choose; and with a stranger's, that has nothing."""
    people = {
        addresses.OWNER: owner, addresses.FINANCE: finance, addresses.NOBODY: None,
        addresses.WITHOUT_ROLE: addresses.somebody_without_a_role(), "stranger": stranger,
    }  # fmt: skip
    secrets = (*city.hubs, *(text for van in city.vans[5:9] for text in (van.registration, str(van.default_driver))))
    found: dict[str, Any] = {}
    for is_phone in (False, True):
        walk = Walk(web, people, is_phone=is_phone)
        for visit in addresses.visits():
            walk.visit(visit, visit.path.format_map(names))
        for path in addresses.OF_AN_EMPTY_FLEET:
            walk.visit(Visit(path, "stranger"), path, secrets)
        found |= walk.found
    assert found == {}
