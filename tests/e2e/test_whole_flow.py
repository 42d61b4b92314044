"""A dispatcher's whole way: signing in, finding a vehicle, an offer, the decision, undoing it, the next alert, back.

By keyboard alone in both languages, and by touch alone on a phone: no step needs anything else.
"""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from dispatch import services
from dispatch.models import Alert, ChargePlan
from dispatch.wording import Says
from fleetcharge.accounts.models import User
from tests.e2e.city import City
from tests.e2e.conftest import PASSWORD, PHONE, Watched, live
from tests.running import wait_for

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PLATE = "KA 03 MX 4471"

WATCH = """
window.used = new Set();
for (const name of ["keydown", "pointerdown"]) {
  addEventListener(name, (event) => { if (event.isTrusted) used.add(event.pointerType || name); }, true);
}
window.lost = [];
let had = null;
let since = 0;
const look = () => {
  const now = document.activeElement;
  if (now && now !== document.body) [had, since] = [now, 0];
  else if (had && ++since > 3) { lost.push(had.outerHTML.slice(0, 160)); had = null; }
  requestAnimationFrame(look);
};
addEventListener("DOMContentLoaded", look);
"""
"""What the page was used with, and every time that nothing had the focus any more after something had it."""

RING = """() => {
  const element = document.activeElement;
  const shown = element.matches(".pal input") ? element.parentElement : element;
  const {outlineStyle, outlineWidth, boxShadow} = getComputedStyle(shown);
  const hasRing = outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
  return hasRing || shown !== element && boxShadow !== "none";
}"""
IS_REACHED = "(selector) => document.activeElement.matches(selector)"

SMALL = """() => [...document.querySelectorAll("a[href], button, input, select, summary")].map((element) => {
  const target = element.closest("label") ?? element;
  const {left, top, width, height} = target.getBoundingClientRect();
  const at = document.elementFromPoint(left + width / 2, top + height / 2);
  const isOnTop = at && (target.contains(at) || at.contains(target));
  const isThere = isOnTop && element.checkVisibility() && !element.closest("p");
  const [wide, high] = [width, height].map(Math.round);
  return isThere && (wide < 44 || high < 44) ? `${wide} x ${high}: ${element.outerHTML.slice(0, 120)}` : "";
}).filter(Boolean)"""
"""What can be touched here, and is too small for a thumb; links inside a sentence are as high as their line."""

WORDS = """() => {
  const ours = (element) => element.checkVisibility() && !element.closest("script, style, kbd, [lang=en]");
  const words = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) if (ours(walker.currentNode.parentElement)) words.push(walker.currentNode.data.trim());
  for (const name of ["aria-label", "placeholder", "title", "aria-valuetext", "alt"]) {
    const named = [...document.querySelectorAll(`[${name}]`)].filter(ours);
    words.push(...named.map((element) => element.getAttribute(name)));
  }
  return [document.title, ...words].filter(Boolean);
}"""
OURS = re.compile("FleetCharge|Ctrl|kWh|kW|MW|km|ms|CCS2|Type|cable|GroundFailure|GST|IST|OpenStreetMap|API|CSV|XLSX")
"""Our name, keys, units, plugs, a code of OCPP, and abbreviations that have no Hindi."""


@pytest.fixture
def morning(city: City) -> City:
    """Two alerts that can be told in any language: one with an offer, and one about a charger."""
    facts = {"registration": PLATE, "stop": "Whitefield DC", "place": "Marathahalli Hub", "delay_seconds": 540,
             "arrival_soc_percent": 8}  # fmt: skip
    Alert.objects.filter(pk=city.alert.pk).update(**Says("will_not_reach", ("charge_at",), facts).columns())
    site = city.hubs["Peenya Yard 02"]
    last = timezone.now() - timedelta(minutes=20)
    about = {"ocpp_identity": "BLR-7", "place": site.name, "last_seen_at": last}
    silent = Says("charger_silent", ("last_heard",), about)
    services.open_alert(
        organisation_id=city.late.organisation_id, kind="charger_silent", severity="bad", dedupe_key="silent",
        says=silent, location_id=site.pk, now=timezone.now() - timedelta(seconds=5),
    )  # fmt: skip
    return city


class Way:
    """What both ways have in common: where somebody is, and what is decided."""

    def __init__(self, web: Watched, city: City, **options: Any) -> None:
        self.web, self.city = web, city
        self.page: Page = web.page(**options)
        self.page.add_init_script(WATCH)

    def arrives(self) -> None:
        self.page.wait_for_url("**/dispatch/")
        live(self.page)

    def sees_vehicle(self, plate: str) -> None:
        expect(self.page.locator("#drawer h2")).to_have_text(plate)

    def until_plan_is(self, state: str) -> None:
        plan = self.city.plan
        wait_for(f"a plan that is {state}", lambda: ChargePlan.objects.filter(pk=plan.pk, state=state).exists())


# --- by keyboard --------------------------------------------------------------------------------------------------
class Keyboard(Way):
    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def tab_to(self, selector: str, *, back: bool = False) -> None:
        """As far as it takes; whatever has the focus on the way can be seen to have it."""
        for _ in range(90):
            if self.page.evaluate(IS_REACHED, selector):
                return self.focus_is_on(selector)
            self.press("Shift+Tab" if back else "Tab")
            self.focus_is_on(":focus")
        raise AssertionError(f"{selector} is not reached by Tab")

    def focus_is_on(self, selector: str) -> None:
        focused = self.page.locator(f"{selector}:focus" if selector != ":focus" else selector)
        expect(focused).to_be_in_viewport()
        assert self.page.evaluate(RING), self.page.evaluate("document.activeElement.outerHTML.slice(0, 200)")

    def signs_in(self, user: User) -> None:
        self.page.goto(f"{self.web.server.url}/login/?next=/dispatch/")
        self.focus_is_on("[name=username]")
        self.page.keyboard.type(user.email)
        self.tab_to("[name=password]")
        self.page.keyboard.type(PASSWORD)
        self.press("Enter")
        self.arrives()

    def steps(self, user: User) -> Iterator[str]:
        """One after the other; the name of each, once it is done."""
        self.signs_in(user)
        self.press("Tab")
        self.focus_is_on(".skip")
        yield "signed in"
        self.press("Control+k")
        self.focus_is_on("#palette-query")
        self.page.keyboard.type(PLATE)
        expect(self.page.locator("#palette [aria-selected=true]")).to_contain_text(PLATE)
        yield "searched"
        self.press("Enter")
        self.sees_vehicle(PLATE)
        self.focus_is_on("#drawer h2")
        yield "opened a vehicle"
        self.press("Escape")
        expect(self.page.locator("#drawer")).to_be_empty()
        self.focus_is_on(".row[aria-pressed=true]")
        self.press("j")
        self.sees_vehicle("KA 03 MX 4472")
        self.focus_is_on("#drawer h2")
        yield "went on in the list"
        yield from self._decides()
        yield from self._looks_at_the_next_alert()

    def _decides(self) -> Iterator[str]:
        self.press("1")
        self.tab_to(".al.hot [data-focus^=options]", back=True)
        self.press("Enter")
        expect(self.page.locator(".al .options")).to_be_visible()
        self.focus_is_on("[data-focus^=options][aria-expanded=true]")
        yield "read the reasons"
        self.tab_to(".al.hot [data-focus^=accept]", back=True)
        self.press("Enter")
        expect(self.page.locator("#toasts button")).to_be_visible()
        self.until_plan_is("accepted")
        self.focus_is_on("#queue-title")
        self.tab_to("#toasts button")
        yield "accepted"
        self.press("Enter")
        self.until_plan_is("proposed")
        expect(self.page.locator("[data-focus^=accept]")).to_be_visible()
        self.focus_is_on(":focus")
        self.press("a")
        self.until_plan_is("accepted")
        self.press("z")
        self.until_plan_is("proposed")
        expect(self.page.locator("[data-focus^=accept]")).to_be_visible()
        self.focus_is_on(":focus")
        yield "took it back"

    def _looks_at_the_next_alert(self) -> Iterator[str]:
        self.press("2")
        self.tab_to("article.al [data-focus^=open]", back=True)
        self.press("Enter")
        expect(self.page.locator("#drawer h2")).to_have_text("Peenya Yard 02")
        self.focus_is_on("#drawer h2")
        yield "opened a station"
        self.tab_to("#drawer [data-close]")
        self.press("Enter")
        expect(self.page.locator("#drawer")).to_be_empty()
        self.focus_is_on("article.al [data-focus^=open]")
        yield "came back"


@pytest.mark.parametrize("language", ["en", "hi"])
def test_by_keyboard_alone(web: Watched, morning: City, dispatcher: User, language: str) -> None:
    way = Keyboard(web, morning)
    way.page.context.add_cookies([{"name": "django_language", "value": language, "url": web.server.url}])
    is_known = knows_names(morning, dispatcher)
    english: dict[str, list[str]] = {}
    for step in way.steps(dispatcher):
        if language == "hi":
            english[step] = [text for text in way.page.evaluate(WORDS) if not is_known(text)]
    assert {step: texts for step, texts in english.items() if texts} == {}
    assert way.page.evaluate("[[...used], lost]") == [["keydown"], []]
    assert (web.errors, web.strangers) == ([], [])


def knows_names(city: City, user: User) -> Callable[[str], bool]:
    """Whether a text has no English word: none but what people called things, and what has no Hindi."""
    vans, hubs = city.vans, city.hubs.values()
    names = [*city.hubs, str(user), user.initials]
    names += [text for van in vans for text in (van.registration, str(van.default_driver))]
    names += [str(city.late.model), "Whitefield DC", "BLR-7", "VoltGrid", "Outer Ring Rd", city.late.organisation.name]
    names += [part for van in vans for part in (van.registration[-7:], van.registration.replace(" ", ""))]
    names += [charger.ocpp_identity for hub in hubs for charger in hub.chargers.all()]
    known = re.compile("|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)))
    return lambda text: all(map(OURS.fullmatch, re.findall(r"[A-Za-z][A-Za-z0-9]+", known.sub("", text))))


# --- by touch -----------------------------------------------------------------------------------------------------
class Touch(Way):
    """Taps, and types only where the phone would show its keyboard."""

    def __init__(self, web: Watched, city: City) -> None:
        super().__init__(web, city, viewport=PHONE, has_touch=True, is_mobile=True)
        self.small: dict[str, list[str]] = {}

    def tap(self, selector: str, text: str = "") -> None:
        self.page.locator(selector).filter(has_text=text).first.tap()

    def looks(self, where: str) -> None:
        if small := self.page.evaluate(SMALL):
            self.small[where] = small
        assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), where

    def signs_in(self, user: User) -> None:
        self.page.goto(f"{self.web.server.url}/login/?next=/dispatch/")
        for name, text in (("username", user.email), ("password", PASSWORD)):
            self.tap(f"[name={name}]")
            self.page.locator(f"[name={name}]").fill(text)
        self.looks("sign-in")
        self.tap("button[type=submit]")
        self.arrives()

    def finds(self, plate: str) -> None:
        self.tap(".srch")
        self.page.locator("#palette-query").fill(plate)
        self.looks("palette")
        self.tap("#palette [role=option]", plate)
        self.sees_vehicle(plate)

    def closes(self) -> None:
        self.tap("#drawer [data-close]")
        expect(self.page.locator("#drawer")).to_be_empty()


def test_by_touch_alone(web: Watched, morning: City, dispatcher: User) -> None:
    way = Touch(web, morning)
    page = way.page
    way.signs_in(dispatcher)
    way.looks("map")
    way.tap(".tabs a", "Fleet")
    way.tap("[data-filter=low]")
    way.looks("fleet")
    way.tap(".row", PLATE)
    way.sees_vehicle(PLATE)
    way.looks("vehicle")
    way.closes()
    way.finds("KA 03 MX 4473")
    way.closes()
    way.tap("[data-focus^=options]")
    expect(page.locator(".al .options")).to_be_visible()
    way.looks("reasons")
    way.tap("[data-focus^=accept]")
    way.until_plan_is("accepted")
    way.looks("accepted")
    way.tap("#toasts button")
    way.until_plan_is("proposed")
    way.tap(".tabs a", "Alerts")
    way.looks("alerts")
    way.tap("#queue [data-focus^=open]")
    expect(page.locator("#drawer h2")).to_have_text("Peenya Yard 02")
    way.looks("station")
    way.closes()
    way.tap(".tabs a", "Map")
    way.tap("#layers-button")
    way.looks("layers")
    way.tap("#layers-button")
    way.tap(".tabs summary")
    way.looks("menu")
    assert way.small == {}
    assert page.evaluate("[...used]") == ["touch"]
    assert (web.errors, web.strangers) == ([], [])
