"""What a fleet agreed comes first: the site's rate, the network's, the public tariff; pinned each time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from billing.approvals import services as approvals
from billing.models import CDR, BillingException
from billing.prices.models import NegotiatedRate
from billing.prices.services import rates
from billing.services import adjustments, rating, tariffs
from billing.tests.factories import NOON, Fleet, make_fleet, start, stop
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.lib.api import Conflict
from stations.models import Connector

pytestmark = pytest.mark.django_db
LONG_AGO = NOON - timedelta(days=20)
INDIA_AT = NOON + timedelta(hours=5, minutes=30)


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    return make_fleet(organisation)


@pytest.fixture
def people(db: None) -> tuple[User, User]:
    return User.objects.create_user("asks@ours.example"), User.objects.create_superuser("decides@ours.example")


def per_kwh(price: str) -> list[dict[str, Any]]:
    return [{"price_components": [{"type": "ENERGY", "price": price, "step_size": 1}]}]


def agree(fleet: Fleet, people: tuple[User, User], price: str | None, **fields: Any) -> NegotiatedRate:
    defaults = {
        "organisation_id": fleet.organisation.pk, "source_id": fleet.source.pk, "location_id": None, "name": "Agreed",
        "elements": [] if price is None else per_kwh(price), "valid_from": LONG_AGO, "asked_by": people[0],
        "reason": "Contract of the year", "now": NOON,
    }  # fmt: skip
    wish = rates.ask(**{**defaults, **fields})
    approvals.approve(approval_id=wish.pk, decided_by=people[1], now=NOON)
    return NegotiatedRate.objects.latest("pk")


def test_who_agrees_to_a_price_reads_it(fleet: Fleet, people: tuple[User, User]) -> None:
    night = per_kwh("9.5")[0] | {"restrictions": {"start_time": "22:00", "end_time": "06:00"}}
    asked: dict[str, Any] = {
        "organisation_id": fleet.organisation.pk, "source_id": fleet.source.pk, "location_id": None, "name": "Agreed",
        "asked_by": people[0], "reason": "Contract", "now": NOON, "valid_from": NOON,
    }  # fmt: skip
    wish = rates.ask(**asked, elements=[night, *per_kwh("14")], valid_to=NOON + timedelta(days=30))
    price = "ENERGY 9.5 (start_time 22:00, end_time 06:00); ENERGY 14"
    from_until = [
        ("From", "", f"{INDIA_AT:%Y-%m-%d %H:%M}"),
        ("Until", "", f"{INDIA_AT + timedelta(days=30):%Y-%m-%d %H:%M}"),
    ]
    assert approvals.changes(wish) == [("Price", "public price", price), *from_until]
    approvals.approve(approval_id=wish.pk, decided_by=people[1], now=NOON)
    ends = rates.ask(**asked, elements=[])
    assert approvals.changes(ends)[0] == ("Price", price, "public price")


def charge(fleet: Fleet, *, at: datetime = NOON) -> CDR:
    started = start(fleet, started_at=at, received_at=at)
    stop(fleet, started.transaction_ref, ended_at=at + timedelta(minutes=30), received_at=at + timedelta(minutes=30))
    cdr = CDR.objects.get(session_id=started.session_id)
    assert rating.rate_and_capture(cdr_id=cdr.pk, now=at + timedelta(hours=1))
    cdr.refresh_from_db()
    return cdr


def named(connector: Connector, organisation: Organisation | None, at: datetime = NOON) -> str | None:
    price = tariffs.price_for(connector=connector, at=at, organisation_id=organisation.pk if organisation else None)
    return price.elements[0]["price_components"][0]["price"] if price else None


def test_the_site_comes_before_the_network_and_both_before_the_tariff(
    fleet: Fleet, people: tuple[User, User], other_organisation: Organisation
) -> None:
    plug = Connector.objects.select_related("evse__location__source", "tariff").get(pk=fleet.connector.pk)
    assert named(plug, fleet.organisation) == "18.00"
    agree(fleet, people, "15.00")
    assert named(plug, fleet.organisation) == "15.00"
    agree(fleet, people, "12.50", location_id=fleet.location.pk)
    assert named(plug, fleet.organisation) == "12.50"
    assert named(plug, other_organisation) == named(plug, None) == "18.00"  # nobody else's price
    assert named(plug, fleet.organisation, at=LONG_AGO - timedelta(seconds=1)) == "18.00"


def test_versions_follow_each_other_and_an_end_is_one(fleet: Fleet, people: tuple[User, User]) -> None:
    plug = Connector.objects.select_related("evse__location__source", "tariff").get(pk=fleet.connector.pk)
    first = agree(fleet, people, "15.00", valid_to=NOON + timedelta(days=10))
    second = agree(fleet, people, "14.00", valid_from=NOON)
    assert (first.version, second.version, second.asked_by, second.approved_by) == (1, 2, *people)
    assert named(plug, fleet.organisation, NOON - timedelta(seconds=1)) == "15.00"
    assert named(plug, fleet.organisation) == "14.00"
    agree(fleet, people, None, valid_from=NOON + timedelta(days=5))
    assert named(plug, fleet.organisation, NOON + timedelta(days=5)) == "18.00"  # not the older one again
    with pytest.raises(Conflict, match="later version"):
        agree(fleet, people, "1.00", valid_from=NOON - timedelta(days=1))


def test_one_person_agrees_nothing_and_what_is_agreed_never_changes(fleet: Fleet, people: tuple[User, User]) -> None:
    wish = rates.ask(
        organisation_id=fleet.organisation.pk, source_id=fleet.source.pk, location_id=None, name="Mine",
        elements=per_kwh("1"), valid_from=NOON, asked_by=people[1], reason="I like it", now=NOON,
    )  # fmt: skip
    with pytest.raises(ValueError, match="Another person"):
        approvals.approve(approval_id=wish.pk, decided_by=people[1], now=NOON)
    assert not NegotiatedRate.objects.exists()
    agreed = agree(fleet, people, "15.00", location_id=fleet.location.pk)
    for change in (lambda: agreed.delete(), lambda: NegotiatedRate.objects.update(elements=per_kwh("1"))):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()
    agreed.refresh_from_db()
    assert agreed.elements == per_kwh("15.00")


@pytest.mark.parametrize("elements", [per_kwh("cheap"), [{"price_components": []}]])
def test_a_rate_that_cannot_be_read_is_not_even_asked_for(
    fleet: Fleet, people: tuple[User, User], elements: Any
) -> None:
    with pytest.raises(ValueError):
        agree(fleet, people, None, elements=elements)


def test_a_session_is_pinned_to_its_rate_and_corrected_by_it(fleet: Fleet, people: tuple[User, User]) -> None:
    agreed = agree(fleet, people, "15.00")
    cdr = charge(fleet)
    assert (cdr.negotiated_rate, cdr.plan_version, cdr.taxable_paise) == (agreed, None, 150_00)
    assert cdr.explanation[0]["unit_price_paise"] == "1500"
    agree(fleet, people, "99.00", valid_from=LONG_AGO)  # later knowledge about the same days
    again = CDR.objects.get(pk=cdr.pk)
    assert rating.explain(rating.rate_cdr(again), gst_percent=18) == cdr.explanation  # type: ignore[arg-type]
    more = adjustments.Figures(cdr.started_at, cdr.ended_at, 12_000, cdr.charging_seconds, cdr.idle_seconds)
    booked = adjustments.adjust(cdr=again, figures=more, reason="more", now=NOON)
    assert booked is not None
    assert booked.taxable_paise == 2 * 15_00


def test_neither_rate_nor_tariff_is_a_question_and_never_zero(organisation: Organisation) -> None:
    fleet = make_fleet(organisation, has_tariff=False)
    started = start(fleet)
    stop(fleet, started.transaction_ref)
    cdr = CDR.objects.get(session_id=started.session_id)
    assert not rating.rate_and_capture(cdr_id=cdr.pk, now=datetime(2026, 11, 20, 8, tzinfo=UTC))
    cdr.refresh_from_db()
    assert (cdr.is_blocked, cdr.total_paise) == (True, None)
    assert BillingException.objects.open().filter(kind="missing_tariff", session=cdr.session).exists()


def test_a_rate_prices_where_the_network_tells_no_tariff(organisation: Organisation, people: tuple[User, User]) -> None:
    fleet = make_fleet(organisation, has_tariff=False)
    agree(fleet, people, "15.00")
    assert charge(fleet).taxable_paise == 150_00
