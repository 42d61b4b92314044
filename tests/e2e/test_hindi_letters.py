"""Hindi needs no font of the machine: its letters come with the page that has some, joined as they are written."""

from typing import Any

import pytest
from playwright.sync_api import Page

from fleetcharge.accounts.models import Organisation, User
from tests.e2e.conftest import Watched

pytestmark = pytest.mark.browser
OURS = "NotoSansDevanagari-"
WORDS = ["क्षत्रिय", "स्थिति", "मार्ग"]  # fewer glyphs than signs, once they are joined
SHOW = """words => {
  for (const word of words) {
    const shown = document.createElement('p');
    shown.textContent = word; shown.className = 'shown'; document.getElementById('main').append(shown);
  }
}"""


def fonts(page: Page, place: str, number: int = 0) -> list[dict[str, Any]]:
    """Which fonts Chromium draws the text of an element with, and how many glyphs of each."""
    session = page.context.new_cdp_session(page)
    session.send("DOM.enable")
    session.send("CSS.enable")
    root = session.send("DOM.getDocument")["root"]["nodeId"]
    nodes = session.send("DOM.querySelectorAll", {"nodeId": root, "selector": place})["nodeIds"]
    found: list[dict[str, Any]] = session.send("CSS.getPlatformFontsForNode", {"nodeId": nodes[number]})["fonts"]
    return found


def in_hindi(page: Page, web: Watched) -> None:
    page.context.add_cookies([{"name": "django_language", "value": "hi", "url": web.server.url}])
    page.reload()
    page.evaluate("document.fonts.ready.then(() => true)")


def test_hindi_comes_with_its_letters_and_english_without(
    web: Watched, owner: User, organisation: Organisation
) -> None:
    page, asked = web.page(), []
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    web.sign_in(page, owner, "/settings/")
    page.evaluate("document.fonts.ready.then(() => true)")
    assert page.locator('button[lang="hi"]').first.is_visible()  # हिं, of a font of its own few letters
    assert [name for name in asked if name.startswith(OURS)] == [f"{OURS}Name.woff2"]
    assert all(font["isCustomFont"] for font in fonts(page, 'button[lang="hi"]'))
    in_hindi(page, web)
    assert {f"{OURS}Regular.woff2", f"{OURS}Bold.woff2"} <= set(asked)
    assert page.evaluate("document.fonts.check('16px \"Noto Sans Devanagari\"', 'क्षत्रिय')")
    page.evaluate(SHOW, WORDS)
    page.evaluate("document.fonts.ready.then(() => true)")
    for number, word in enumerate(WORDS):
        [font] = fonts(page, "p.shown", number)
        assert font["isCustomFont"] and font["familyName"] == "Noto Sans Devanagari", word
        assert font["glyphCount"] < len(word), word
    assert (web.errors, web.strangers) == ([], [])


def test_the_desk_of_finance_has_them_too(web: Watched, finance: User, organisation: Organisation) -> None:
    page = web.sign_in(web.page(), finance, "/admin/")
    in_hindi(page, web)
    assert all(font["isCustomFont"] for font in fonts(page, "#main h2"))
