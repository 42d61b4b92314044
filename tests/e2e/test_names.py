"""Names that nobody should choose: as text, whole where there is room, and nothing of them ever runs."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Dialog, Page, expect

from tests.e2e.city import City
from tests.e2e.conftest import DESKTOP, PHONE, Watched
from tests.e2e.stage import LONG, PLUGS, SCRIPT, large_site, names_nobody_should_choose
from tests.e2e.test_dashboard import find

pytestmark = pytest.mark.browser
COVERED = """
[...document.querySelectorAll('#drawer .con')].filter((plug) => {
  const body = plug.closest('.body').getBoundingClientRect();
  plug.scrollIntoView({block: 'center'});
  const {left, top, width, height} = plug.getBoundingClientRect();
  const at = document.elementFromPoint(left + width / 2, top + height / 2);
  return !plug.contains(at) || width > body.width + 1;
}).length
"""


def test_a_site_of_sixty_plugs_and_names_of_two_hundred_letters_can_be_read(
    dashboard: Callable[..., Page], web: Watched, city: City
) -> None:
    names_nobody_should_choose(city)
    large_site(city)
    page = dashboard()
    dialogs: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    drawer = page.locator("#drawer")
    for size in (DESKTOP, PHONE):
        page.set_viewport_size(size)
        find(page, "Sixty")
        expect(drawer.locator("h2")).to_have_text("Sixty plugs")
        expect(drawer.locator(".hd")).to_contain_text(f"{PLUGS} of {PLUGS} free")
        expect(drawer.locator(".con")).to_have_count(PLUGS)
        assert page.evaluate(COVERED) == 0
        expect(drawer.get_by_role("button", name="Reserve bay 1 until")).to_be_in_viewport()
        find(page, LONG[:12])
        expect(drawer.locator("h2")).to_have_text(LONG)
        expect(drawer.get_by_role("button", name="Close")).to_be_in_viewport()
        find(page, SCRIPT[:6])
        expect(drawer.locator("h2")).to_have_text(SCRIPT)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert drawer.evaluate("drawer => drawer.scrollWidth <= drawer.clientWidth")
    assert page.locator("#app script, #app img").count() == 0
    assert (dialogs, web.errors, web.strangers) == ([], [], [])
