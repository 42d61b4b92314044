"""Links to a drive: made with the acceptance, signed, over in time, taken back, and never another fleet's."""

import logging
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.core import signing
from django.test import Client
from django.utils import timezone

from dispatch.driving import doors, links
from dispatch.driving.models import DriverLink
from dispatch.events import PlanChanged
from dispatch.models import ChargePlan
from dispatch.outbox import _planned
from dispatch.services import dismiss_plan
from dispatch.tests import factories
from dispatch.tests.driving import link_of, page, plan_to, press, site_of, under_way
from dispatch.tests.test_session_command_api import client_for
from fleetcharge.accounts.models import AuditEntry, Organisation, Scope
from fleetcharge.accounts.throttling import Rate
from fleetcharge.lib.logs import DiscreetFormatter
from fleetcharge.webhooks import catalogue
from tests.belongings import belongings_of
from tests.flows.test_strangers import ALL
from tests.flows.test_webhooks import listen
from tests.flows.test_webhooks import told as heard
from vehicles.models import Driver, Vehicle

pytestmark = pytest.mark.django_db


@pytest.fixture
def plan(organisation: Organisation) -> ChargePlan:
    return under_way(organisation, timezone.now().replace(microsecond=0), name="Marathahalli Hub")


def test_accepting_makes_one_link_that_opens_without_a_login(client: Client, plan: ChargePlan) -> None:
    link = link_of(plan)
    assert "Marathahalli Hub" in page(client, plan)
    again = links.make(plan_id=plan.pk, actor=None, now=timezone.now())
    assert (again.url, DriverLink.objects.count()) == (links.url_of(link), 1)
    link.refresh_from_db()
    assert link.opened_at is not None
    assert not AuditEntry.objects.filter(action="driver_link.make").exists()  # it came with the acceptance


def test_a_link_made_by_somebody_is_in_the_trail(plan: ChargePlan) -> None:
    links.revoke(plan_id=plan.pk, actor=None, actor_label="key TMS", now=timezone.now())
    links.make(plan_id=plan.pk, actor=None, actor_label="key TMS", now=timezone.now())
    trail = AuditEntry.objects.filter(action__startswith="driver_link.").order_by("pk")
    assert list(trail.values_list("action", "actor_label")) == [
        ("driver_link.revoke", "key TMS"), ("driver_link.make", "key TMS"),
    ]  # fmt: skip


def test_the_page_is_not_found_not_kept_and_tells_nobody_where_it_is(client: Client, plan: ChargePlan) -> None:
    answer = client.get(links.path_of(link_of(plan)))
    assert answer["Referrer-Policy"] == "no-referrer"
    assert "noindex" in answer["X-Robots-Tag"]
    assert "no-store" in answer["Cache-Control"]
    assert not answer.cookies


def test_a_link_ends_and_is_taken_back(client: Client, plan: ChargePlan) -> None:
    path = links.path_of(link_of(plan))
    with time_machine.travel(link_of(plan).expires_at, tick=False):
        assert client.get(path).status_code == 410
    assert client.get(path).status_code == 200
    assert links.revoke(plan_id=plan.pk, actor=None, now=timezone.now()) == 1
    over = client.get(path)
    assert over.status_code == 410
    assert plan.vehicle.registration not in over.content.decode()
    assert client.get(f"{path}now/").status_code == 410
    assert links.url_of(link_of(plan)) != links.make(plan_id=plan.pk, actor=None, now=timezone.now()).url


def test_the_end_is_signed_too(client: Client, plan: ChargePlan) -> None:
    """Whoever could change rows' ends alone does not make an old address good again."""
    link, path = link_of(plan), links.path_of(link_of(plan))
    DriverLink.objects.filter(pk=link.pk).update(expires_at=link.expires_at + timedelta(days=9))
    with time_machine.travel(link.expires_at, tick=False):
        assert client.get(path).status_code == 410


@pytest.mark.parametrize("token", ["1", "x" * 5000, "WzEsMl0.AAAA", "WzEsMl0", "%00", "Wy4.x"])
def test_what_nobody_signed_opens_nothing(client: Client, plan: ChargePlan, token: str) -> None:
    assert client.get(f"/go/{token}/").status_code == 404


def test_a_link_that_somebody_was_quicker_with_and_took_back_is_made_anew(plan: ChargePlan, monkeypatch: Any) -> None:
    quicker: list[str] = []
    create = links._create

    def late(*what: Any) -> Any:
        """The first time somebody else has made one and has revoked it since."""
        quicker.append("made and taken back")
        return None if len(quicker) == 1 else create(*what)

    links.revoke(plan_id=plan.pk, actor=None, now=timezone.now())
    monkeypatch.setattr(links, "_create", late)
    made = links.make(plan_id=plan.pk, actor=None, now=timezone.now())
    assert (len(quicker), "/go/" in made.url) == (2, True)
    links.revoke(plan_id=plan.pk, actor=None, now=timezone.now())
    monkeypatch.setattr(links, "_create", lambda *what: None)
    with pytest.raises(links.NothingToShow):
        links.make(plan_id=plan.pk, actor=None, now=timezone.now())


def test_a_token_opens_only_its_own_kind_of_page(client: Client, plan: ChargePlan) -> None:
    press(client, plan, "share")
    shared = DriverLink.objects.get(kind="eta")
    assert client.get(f"/eta/{links.token_of(shared)}/").status_code == 200
    assert client.get(f"/go/{links.token_of(shared)}/").status_code == 404
    assert client.get(f"/eta/{links.token_of(link_of(plan))}/").status_code == 404
    forged = signing.Signer(salt="another", sep=".").sign_object([shared.pk, 2_000_000_000])
    assert client.get(f"/eta/{forged}/").status_code == 404


def test_a_link_follows_its_vehicle_to_the_plan_that_came_after(client: Client, plan: ChargePlan) -> None:
    now = timezone.now()
    dismiss_plan(plan_id=plan.pk, actor=None, now=now)
    place = factories.location(site_of(plan).source, name="Domlur Yard")
    plan_to(factories.connector(place), plan.vehicle, now, state="accepted", decided_at=now)
    assert "Domlur Yard" in page(client, plan)
    assert "Marathahalli Hub" not in page(client, plan)


def test_a_vehicle_that_left_the_fleet_takes_its_links_with_it(
    client: Client, plan: ChargePlan, other_organisation: Organisation
) -> None:
    plan.vehicle.organisation = other_organisation
    plan.vehicle.save()
    assert client.get(links.path_of(link_of(plan))).status_code == 410


def test_a_driver_who_handed_the_vehicle_over_is_out_and_the_next_one_gets_his_own(
    client: Client, plan: ChargePlan, organisation: Organisation
) -> None:
    van, now = plan.vehicle, timezone.now()
    van.default_driver = Driver.objects.create(organisation=organisation, name="Imran S")
    van.save()
    links.revoke(plan_id=plan.pk, actor=None, now=now)
    first = links.make(plan_id=plan.pk, actor=None, now=now)
    path = links.path_of(plan.driver_links.get(revoked_at=None))
    assert client.get(path).status_code == 200
    van.default_driver = Driver.objects.create(organisation=organisation, name="Lakshmi S")
    van.save()
    assert client.get(path).status_code == 410
    assert client.post(f"{path}do/off/", {"plan": plan.pk}).status_code == 410
    second = links.make(plan_id=plan.pk, actor=None, now=now)
    assert second.url != first.url
    assert client.get(links.path_of(plan.driver_links.get(revoked_at=None))).status_code == 200


def test_a_driver_who_left_the_fleet_is_out_and_whoever_drives_now_gets_a_link(
    client: Client, plan: ChargePlan, organisation: Organisation
) -> None:
    van, now = plan.vehicle, timezone.now()
    van.default_driver = Driver.objects.create(organisation=organisation, name="Imran S")
    van.save()
    links.revoke(plan_id=plan.pk, actor=None, now=now)
    links.make(plan_id=plan.pk, actor=None, now=now)
    path = links.path_of(plan.driver_links.get(revoked_at=None))
    assert client.get(path).status_code == 200
    Driver.objects.filter(pk=van.default_driver.pk).update(is_active=False)
    assert client.get(path).status_code == 410
    assert client.post(f"{path}do/off/", {"plan": plan.pk}).status_code == 410
    links.make(plan_id=plan.pk, actor=None, now=now)
    assert client.get(links.path_of(plan.driver_links.get(revoked_at=None))).status_code == 200


def test_too_many_looks_and_wrong_tokens_wait(
    client: Client, plan: ChargePlan, one_window: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetcharge.accounts.throttling.WRONG_CREDENTIALS", Rate(2, 60))
    assert [client.get(f"/go/wrong{n}/").status_code for n in range(3)] == [404, 404, 429]
    assert client.get(links.path_of(link_of(plan))).status_code == 200  # whoever has a good one is not kept out
    answers = [press(client, plan, "off").status_code for _ in range(doors.DEEDS.limit + 1)]
    assert (answers[-2:], set(answers[:-1])) == ([200, 429], {200})


def test_a_strangers_link_sees_nothing_of_the_fleet(
    client: Client, organisation: Organisation, other_organisation: Organisation
) -> None:
    fleet, mine = belongings_of(organisation), under_way(other_organisation, timezone.now())
    press(client, mine, "share")
    tokens = [links.token_of(row) for row in DriverLink.objects.filter(organisation=other_organisation)]
    routes = [route for route in ALL if route.startswith(("go/<", "eta/<"))]
    assert len(routes) >= 6
    before = fleet.fingerprint()["dispatch.ChargePlan"]
    for route in routes:
        for token in tokens:
            path = "/" + fleet.fill(route.replace("<str:token>", token))
            for answer in (client.get(path), client.post(path, {"plan": fleet.rows["plans"].pk, "code": "1"})):
                assert [sign for sign in fleet.signs if sign.encode() in answer.content] == [], path
    assert fleet.fingerprint()["dispatch.ChargePlan"] == before


def test_the_api_hands_the_link_out_to_those_who_may_dispatch(plan: ChargePlan, organisation: Organisation) -> None:
    address = f"/api/v1/plans/{plan.pk}/driver-link/"
    may = client_for(organisation, Scope.DISPATCH_READ, Scope.DISPATCH_WRITE)
    made: Any = may.post(address)
    assert (made.status_code, made.json()["url"]) == (200, links.url_of(link_of(plan)))
    assert client_for(organisation, Scope.DISPATCH_READ).post(address).status_code == 403
    assert may.delete(address).status_code == 204
    assert Client().get(links.path_of(link_of(plan))).status_code == 410


def test_there_is_no_link_before_anybody_decided(plan: ChargePlan, organisation: Organisation) -> None:
    van = factories.vehicle(organisation, at=timezone.now())
    open_one = plan_to(factories.connector(site_of(plan)), van, timezone.now())
    may = client_for(organisation, Scope.DISPATCH_READ, Scope.DISPATCH_WRITE)
    refused = may.post(f"/api/v1/plans/{open_one.pk}/driver-link/")
    assert (refused.status_code, refused.json()["code"]) == (409, "plan_not_accepted")
    assert not DriverLink.objects.filter(plan=open_one).exists()


def test_a_stranger_cannot_ask_for_it(plan: ChargePlan, other_organisation: Organisation) -> None:
    strangers = client_for(other_organisation, Scope.DISPATCH_READ, Scope.DISPATCH_WRITE)
    assert strangers.post(f"/api/v1/plans/{plan.pk}/driver-link/").status_code == 404
    assert strangers.delete(f"/api/v1/plans/{plan.pk}/driver-link/").status_code == 404


def test_accepting_over_the_api_answers_with_the_link(plan: ChargePlan, organisation: Organisation) -> None:
    van = factories.vehicle(organisation, at=timezone.now())
    offer = plan_to(factories.connector(site_of(plan), at=timezone.now()), van, timezone.now())
    may = client_for(organisation, Scope.DISPATCH_READ, Scope.DISPATCH_WRITE)
    accepted = may.post(f"/api/v1/plans/{offer.pk}/accept/").json()
    assert accepted["driver_link"]["url"] == links.url_of(link_of(offer))
    press(Client(), offer, "arrived")
    shown = may.get(f"/api/v1/plans/{offer.pk}/").json()
    assert (shown["arrived_by"], shown["arrived_at"] is not None, "driver_link" in shown) == ("driver", True, False)


def test_who_sends_the_messages_hears_of_each_link_once(plan: ChargePlan, settings: Any) -> None:
    """Not in `plan.changed`: who only reads plans could start and stop charging with it."""
    now = timezone.now()
    told = _planned(PlanChanged(plan.pk, plan.organisation_id, plan.vehicle_id, plan.state, now))
    assert links.token_of(link_of(plan)) not in str(told.data)
    settings.WEBHOOK_ALLOW_PRIVATE_HOSTS = True
    listen(plan.organisation)
    links.make(plan_id=plan.pk, actor=None, now=now)
    assert heard(catalogue.DRIVER_LINK_MADE) == []
    links.revoke(plan_id=plan.pk, actor=None, now=now)
    made = links.make(plan_id=plan.pk, actor=None, now=now)
    links.make(plan_id=plan.pk, actor=None, now=now, kind="eta")
    [told_of] = heard(catalogue.DRIVER_LINK_MADE)
    assert (told_of["driver_url"], told_of["plan_id"], told_of["vehicle_id"]) == (made.url, plan.pk, plan.vehicle_id)


def test_hearing_of_the_link_takes_the_scope_that_asking_for_it_takes(
    organisation: Organisation, settings: Any
) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE_HOSTS = True
    body = {"url": "http://127.0.0.1:9/in", "event_types": [catalogue.DRIVER_LINK_MADE]}
    for extra, status in ((Scope.DISPATCH_READ, 403), (Scope.DISPATCH_WRITE, 201)):
        asker = client_for(organisation, Scope.WEBHOOKS_WRITE, extra)
        assert asker.post("/api/v1/webhooks/", body, content_type="application/json").status_code == status


def test_a_link_that_lets_nobody_in_any_more_is_not_handed_out(plan: ChargePlan, organisation: Organisation) -> None:
    now = timezone.now()
    plan.vehicle.default_driver = Driver.objects.create(organisation=organisation, name="Imran S")
    plan.vehicle.save()
    links.revoke(plan_id=plan.pk, actor=None, now=now)
    made = links.make(plan_id=plan.pk, actor=None, now=now)
    assert links.known(plan, now) == made
    Vehicle.objects.filter(pk=plan.vehicle_id).update(default_driver=None)  # handed over
    assert links.known(plan, now) is None


def test_no_log_line_lets_anybody_in(client: Client, plan: ChargePlan) -> None:
    link = link_of(plan)
    links.revoke(plan_id=plan.pk, actor=None, now=timezone.now())
    lines = StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(DiscreetFormatter("%(message)s"))
    logging.getLogger("django.request").addHandler(handler)
    try:
        assert client.get(f"{links.path_of(link)}now/").status_code == 410
        assert client.get("/go/at/nothing/at/all/").status_code == 404
    finally:
        logging.getLogger("django.request").removeHandler(handler)
    assert lines.getvalue().splitlines() == ["Gone: /go/***/now/", "Not Found: /go/at/nothing/at/all/"]
    assert isinstance(_console().formatter, DiscreetFormatter)


def _console() -> logging.Handler:
    """Where all of our processes write."""
    return next(one for one in logging.getLogger().handlers if one.name == "console")
