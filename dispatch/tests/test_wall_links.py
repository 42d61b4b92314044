"""A screen on the wall by its link: one fleet's live page to look at, without a sign-in, for a time."""

import json
import logging
import re
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from asgiref.sync import sync_to_async
from django.test import Client
from django.utils import timezone

from dispatch import live_reads
from dispatch.doorkeeper import NOT_SIGNED_IN, identify, screen_path
from dispatch.models import ChargePlan
from dispatch.services import open_alert
from dispatch.services.alerts import close_alert_by_key
from dispatch.tests import factories
from dispatch.tests.browser import opened, served, told
from dispatch.wall import links
from dispatch.wall.models import WallLink
from dispatch.wording import Says
from fleetcharge.accounts.models import AuditEntry, Organisation, User
from fleetcharge.lib.logs import DiscreetFormatter
from tests.belongings import PERSON, PLATE, SITE, belongings_of
from vehicles.models import Vehicle

pytestmark = pytest.mark.django_db
EVERYTHING = {"bbox": None, "z": 5, "layers": ["vehicles", "stations"]}


def link_of(organisation: Organisation, now: datetime | None = None) -> WallLink:
    return links.make(
        organisation_id=organisation.pk, name="Hall", days=7, actor=None, actor_label="t", now=now or timezone.now()
    )


def boot_of(text: str) -> Any:
    found = re.search(r'<script id="boot"[^>]*>(.*?)</script>', text, re.S)
    assert found
    return json.loads(found[1])


def test_it_shows_the_live_page_of_its_fleet_without_a_cookie_and_nothing_to_do(
    client: Client, organisation: Organisation
) -> None:
    belongings_of(organisation)
    Vehicle.objects.update(default_driver=Vehicle.objects.get().organisation.drivers.get())
    path = links.path_of(link_of(organisation))
    answer = client.get(path)
    assert answer.status_code == 200
    assert "sessionid" not in answer.cookies
    assert answer["Referrer-Policy"] == "no-referrer" and "noindex" in answer["X-Robots-Tag"]
    boot = boot_of(answer.content.decode())
    assert (boot["canDispatch"], boot["isStaff"], boot["who"]) == (False, False, "")
    names = client.get(f"{boot['urls']['api']}live/static/")
    assert PLATE in names.text and SITE in names.text
    assert client.get(f"{path}api/live/overlays/").status_code == 200
    for body in (answer.content.decode(), names.text):
        assert PERSON not in body  # who drives is nobody's business there
    again = client.get(f"{path}api/live/static/", headers={"If-None-Match": names["ETag"]})
    assert again.status_code == 304
    link = WallLink.objects.get()
    assert link.opened_at is not None


STOP, CARD, OLD = "Quilla Zzyx, 3rd floor", "04ZZ99QQ", "Vexed Zzyx"


def alerts_that_name_people(organisation: Organisation, plan: ChargePlan) -> None:
    """A customer in words, parameters, data, ways and reasons; a card; and one alert that is over."""
    now = timezone.now()
    onward = [[12.9, 77.6], [12.345, 77.678]]
    ChargePlan.objects.filter(pk=plan.pk).update(
        explanation={"visits": [{"stop": STOP}]}, route={"new": onward[:1], "onward": onward, "old": onward}
    )
    fleet: dict[str, Any] = {"organisation_id": organisation.pk, "now": now}
    open_alert(**fleet, kind="money", dedupe_key="4", title=f"Ask {OLD}")
    late = Says("will_not_reach", ("not_beyond",), {"registration": PLATE, "stop": STOP, "beyond_stop": STOP})
    open_alert(
        **fleet, kind="will_not_reach", dedupe_key="1", says=late, plan_id=plan.pk, data={"next_stop": {"name": STOP}}
    )
    taken = Says("reserved_place_taken", ("token_took",), {"place": "Hoodi", "token": CARD})
    open_alert(**fleet, kind="reservation_lost", dedupe_key="2", says=taken)
    open_alert(**fleet, kind="vehicle_silent", dedupe_key="3", title=f"Call {OLD}", body=OLD)
    close_alert_by_key(organisation_id=organisation.pk, dedupe_key="4", reason="done", now=now)


def test_its_alerts_tell_no_customer_no_card_and_nothing_of_what_is_over(
    client: Client, organisation: Organisation
) -> None:
    belongings_of(organisation)
    alerts_that_name_people(organisation, ChargePlan.objects.get())
    text = client.get(links.path_of(link_of(organisation))).content.decode()
    told = [live_reads.spoken_on_screens(one, lang) for one in live_reads.alerts_after(organisation.pk, 1) for lang in
            ("en", "hi", "xx")]  # fmt: skip
    assert sum(one["op"] == "del" for one in told) == 3
    for body in (text, json.dumps(told, default=str, ensure_ascii=False)):
        assert f"{PLATE} will not reach –" in body and "A reserved place at Hoodi was taken" in body
        assert "Low and does not report" in body
        assert [sign for sign in (STOP, CARD, OLD, "12.345") if sign in body] == []
    assert STOP in json.dumps(live_reads.alerts_after(organisation.pk, 0), default=str)


def test_it_leads_to_no_other_fleet_and_to_nothing_else(
    client: Client, organisation: Organisation, other_organisation: Organisation
) -> None:
    belongings_of(organisation)
    path = links.path_of(link_of(other_organisation))
    for below in ("", "api/live/static/", "api/live/overlays/"):
        text = client.get(path + below).content.decode()
        assert PLATE not in text and SITE not in text
    for below in ("api/live/past/", "api/vehicles/", "api/alerts/", "api/kpis/"):
        assert client.get(path + below).status_code == 404
    assert client.post(path).status_code == 405
    assert client.get("/api/v1/live/static/").status_code == 401


def test_who_is_signed_in_besides_sees_the_links_fleet(
    client: Client, organisation: Organisation, stranger: User
) -> None:
    belongings_of(organisation)
    client.force_login(stranger)
    text = client.get(links.path_of(link_of(organisation))).content.decode()
    assert organisation.name in text and str(stranger) not in text


@pytest.mark.parametrize("token", ["1", "x" * 300, "WzEsMl0.abc"])
def test_a_token_that_nobody_signed_opens_nothing(client: Client, token: str) -> None:
    assert client.get(f"/tv/{token}/").status_code == 404
    assert identify(f"tv/{token}") == NOT_SIGNED_IN


def test_it_ends_by_itself_and_by_the_owner(client: Client, organisation: Organisation, owner: User) -> None:
    old, taken = link_of(organisation), link_of(organisation)
    with time_machine.travel(timezone.now() + timedelta(days=7, seconds=1), tick=False):
        assert client.get(links.path_of(old)).status_code == 410
        assert identify(f"tv/{links.token_of(old)}") == NOT_SIGNED_IN
    assert identify(f"tv/{links.token_of(taken)}") != NOT_SIGNED_IN
    client.force_login(owner)
    answer = client.post("/wall/links/", {"revoke": taken.pk}, follow=True)
    assert "goes dark within a minute" in answer.content.decode()
    assert client.get(f"{links.path_of(taken)}api/live/static/").status_code == 410
    assert identify(f"tv/{links.token_of(taken)}") == NOT_SIGNED_IN
    assert [entry.action for entry in AuditEntry.objects.filter(target_type__icontains="walllink").order_by("pk")] == [
        "wall_link.make", "wall_link.make", "wall_link.revoke",
    ]  # fmt: skip


def test_owners_make_links_and_nobody_else_sees_them(
    client: Client, organisation: Organisation, owner: User, dispatcher: User, stranger: User
) -> None:
    client.force_login(owner)
    assert client.post("/wall/links/", {"name": "", "days": "9"}).status_code == 400
    answer = client.post("/wall/links/", {"name": "Control room", "days": "30"}, follow=True)
    link = WallLink.objects.get(organisation=organisation)
    assert links.url_of(link) in answer.content.decode()
    assert link.expires_at - link.created_at <= timedelta(days=30)
    client.force_login(dispatcher)
    assert client.get("/wall/links/").status_code == 403
    client.force_login(stranger)
    assert "Control room" not in client.get("/wall/links/").content.decode()
    assert client.post("/wall/links/", {"revoke": link.pk}).status_code == 404
    assert WallLink.objects.open(timezone.now()).count() == 1


def test_a_fleet_has_no_more_links_than_somebody_can_look_after(
    client: Client, organisation: Organisation, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "MOST_LINKS", 1)
    link_of(organisation)
    client.force_login(owner)
    answer = client.post("/wall/links/", {"name": "Two", "days": "7"})
    assert (answer.status_code, WallLink.objects.count()) == (400, 1)
    assert "take one back first" in answer.content.decode()


def test_the_log_tells_no_link(organisation: Organisation) -> None:
    token = links.token_of(link_of(organisation))
    for path in (f"/tv/{token}/api/live/static/", screen_path(token)):
        record = logging.LogRecord("t", logging.INFO, "", 0, f'"GET {path} HTTP/1.1" 200', (), None)
        line = DiscreetFormatter("%(message)s").format(record)
        assert token not in line and "/tv/***" in line


@pytest.mark.django_db(transaction=True)
async def test_its_live_channel_is_its_fleets_and_tells_no_drivers_and_stops(
    organisation: Organisation, other_organisation: Organisation
) -> None:
    def fill() -> tuple[Vehicle, str]:
        now = timezone.now()
        factories.vehicle(other_organisation, at=now)
        says = Says("will_not_reach", (), {"registration": PLATE, "stop": STOP})
        open_alert(organisation_id=organisation.pk, kind="will_not_reach", dedupe_key="1", says=says, now=now)
        return factories.vehicle(organisation, at=now), links.token_of(link_of(organisation))

    mine, token = await sync_to_async(fill)()
    async with served() as address:
        origin, screen = address.replace("ws:", "http:").removesuffix("/ws/live/"), f"{address}tv/{token}/"
        async with opened(screen, "", origin=origin) as page:
            await page.say("hello", v=1, last_alert=0)
            await page.say("view", **EVERYTHING)
            await page.say("details", rev=1)
            await page.until(lambda: page.vehicles and page.of_type("kpi") and page.of_type("alert"))
            assert [one["title"] for one in page.of_type("alert")] == [f"{PLATE} will not reach –"]
            assert set(page.vehicles) == {mine.pk}
            assert page.of_type("details") == []
        async with told(screen, "", {"type": "hello", "v": 1, "last_alert": 0}) as page:
            await page.until(lambda: page.of_type("welcome"))
        async with opened(f"{address}tv/made.up/", "", origin=origin) as page:
            await page.until(lambda: page.close_code)
            assert page.close_code == NOT_SIGNED_IN
