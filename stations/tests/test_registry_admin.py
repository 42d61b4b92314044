"""The registry on the desk: claims with their why, the review queue, corrections by hand, honesty of networks."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from fleetcharge.accounts.models import AuditEntry, User
from stations.belief import freshness_of_network
from stations.models import Connector, Location, Source
from stations.registry_models import Duplicate, StatusProof
from stations.services import duplicates
from stations.tests.factories import make_public_connector, make_source

pytestmark = pytest.mark.django_db


@pytest.fixture
def root(client: Client) -> Client:
    client.force_login(User.objects.create_superuser(email="root@fleet.example", password="root-root-root"))
    return client


@pytest.fixture
def pair() -> Duplicate:
    """One mall in two networks."""
    for slug, kw in (("volt", 60_000), ("hub", 62_000)):
        source = make_source(slug=slug, kind="ocpi-2.2.1")
        make_public_connector(
            source, name="Forum Mall", max_power_w=kw, status="available", reported_status="available",
            status_at=timezone.now(), heard_at=timezone.now(),
        )  # fmt: skip
    Source.objects.filter(slug="volt").update(trust=70)
    Location.objects.filter(source__slug="hub").update(address="21, Hosur Road", latitude=12.9598)
    Location.objects.update(postal_code="560029")
    kept, other = Location.objects.order_by("pk")
    return Duplicate.objects.create(kept=kept, other=other, score=0.7, why={"factors": {"metres": 33.0}, "against": ""})


def act(client: Client, name: str, pair: Duplicate) -> Any:
    data = {"action": name, "_selected_action": [pair.pk]}
    return client.post(reverse("admin:stations_duplicate_changelist"), data, follow=True)


def page(client: Client, row: Any) -> str:
    name = f"admin:stations_{row._meta.model_name}_change"
    answer = client.get(reverse(name, args=[row.pk]))
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_a_person_merges_a_pair_and_sees_who_says_what_and_why(root: Client, pair: Duplicate) -> None:
    queue = root.get(reverse("admin:stations_duplicate_changelist")).content.decode()
    assert "Forum Mall" in queue and "33.0" in queue
    act(root, "merge", pair)
    kept = Location.objects.get(pk=pair.kept_id)
    shown = page(root, kept)
    assert "trust 70 against 50" in shown and "nobody else says" in shown and "21, Hosur Road" in shown
    plug = page(root, Connector.objects.get(evse__location=kept))
    assert "62000" in plug and "shown" in plug
    assert page(root, Location.objects.get(pk=pair.other_id))
    assert AuditEntry.objects.filter(action="merge_sites").count() == 1
    act(root, "keep_apart", pair)
    assert Location.objects.filter(is_removed=False).count() == 2
    assert "Only Volt speaks of it." in page(root, kept)


def test_a_merge_that_must_not_be_is_refused_with_its_reason(root: Client, pair: Duplicate) -> None:
    Connector.objects.filter(evse__location=pair.other).update(is_held=True)
    assert "has reserved there" in act(root, "merge", pair).content.decode()
    assert not Location.objects.filter(is_removed=True).exists()


def test_nobody_but_the_operator_of_the_house_decides(client: Client, dispatcher: User, pair: Duplicate) -> None:
    client.force_login(dispatcher)
    act(client, "merge", pair)
    pair.refresh_from_db()
    assert pair.state == "waiting"
    assert "Forum Mall" not in client.get(reverse("admin:stations_duplicate_changelist")).content.decode()


def test_what_a_person_writes_on_the_page_of_a_site_stays(root: Client, pair: Duplicate) -> None:
    site = pair.kept
    form = root.get(reverse("admin:stations_location_change", args=[site.pk])).context["adminform"].form
    fields = {name: form[name].value() for name in form.fields}
    data = {name: "" if value is None else value for name, value in fields.items()}
    data |= {"name": "Forum Mall, basement", "opening_times": "null"}
    data |= {"evses-TOTAL_FORMS": 0, "evses-INITIAL_FORMS": 0}
    answer = root.post(reverse("admin:stations_location_change", args=[site.pk]), data)
    assert answer.status_code == 302, answer.context["errors"]
    site.refresh_from_db()
    assert (site.name, site.is_shared) == ("Forum Mall, basement", True)
    assert "a person said so" in page(root, site)


def test_a_network_shows_how_fresh_and_how_truthful_it_is(root: Client, pair: Duplicate) -> None:
    volt = Source.objects.get(slug="volt")
    make_public_connector(volt, name="Old", heard_at=timezone.now() - timedelta(hours=2), status_at=timezone.now())
    make_public_connector(volt, name="Silent")
    assert freshness_of_network(volt.pk, timezone.now()) == {"live": 1, "stale": 1, "none": 1}
    Source.objects.filter(pk=volt.pk).update(truth_percent=88)
    connector = Connector.objects.filter(evse__location__source=volt).first()
    assert connector is not None
    StatusProof.objects.create(
        source=volt, connector=connector, key="reservation:R1", was_true=False, why="EVSE_OCCUPIED", at=timezone.now()
    )
    shown = page(root, volt)
    assert "1 live, 1 stale, 1 none" in shown and "88 %" in shown
    assert "EVSE_OCCUPIED" in root.get(reverse("admin:stations_statusproof_changelist")).content.decode()


def test_the_list_of_networks_asks_how_fresh_they_are_once(root: Client) -> None:
    statements = []
    for number in range(2, 6):
        make_public_connector(make_source(slug=f"net-{number}", kind="ocpi-2.2.1"), heard_at=timezone.now())
        with CaptureQueriesContext(connection) as seen:
            page = root.get(reverse("admin:stations_source_changelist")).content.decode()
        assert page.count("1 live") == number - 1
        statements.append(len(seen))
    assert len(set(statements)) == 1, statements


def test_plain_pairs_need_nobody(pair: Duplicate) -> None:
    Location.objects.update(latitude=12.9595, address="")
    assert duplicates.find_duplicates(at=timezone.now()) == {"found": 0, "merged": 1}
