"""From nothing to a paid session with what a fleet's own people can do: no demo, no import, no network."""

import threading
from datetime import timedelta

import pytest
from django.db import connections, transaction
from django.test import Client

from billing import wallet_opening
from billing.models import CDR, BillingException, LedgerTransfer, Wallet
from billing.services import rating, wallets
from billing.tests.factories import NOON, Fleet, make_fleet, start, stop
from fleetcharge.accounts.models import AuditEntry, Organisation, User
from fleetcharge.accounts.services import create_api_key
from fleetcharge.lib.tests.crossing import until, waiters
from stations import services
from stations.models import Connector, Tariff

LATER = NOON + timedelta(hours=1)
PRICES = {"name": "Depot", "per_kwh": "18", "per_session": "10", "idle_per_hour": "60", "hours": "22:00-06:00 12.50"}


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    """Vehicles and a charger, but neither money nor a price."""
    return make_fleet(organisation, has_wallet=False, has_tariff=False)


@pytest.fixture
def desk(client: Client, owner: User) -> Client:
    client.force_login(owner)
    return client


def open_wallet(desk: Client, fleet: Fleet, **more: str) -> int:
    wanted = {"organisation": fleet.organisation.pk, "low_threshold": "100", "reason": "we begin", **more}
    return desk.post("/admin/billing/wallet/add/", wanted).status_code


def make_tariff(desk: Client, fleet: Fleet, **more: object) -> int:
    wanted = {"source": fleet.source.pk, "locations": [fleet.location.pk], **PRICES, **more}
    return desk.post("/admin/stations/tariff/add/", wanted).status_code


def charge(fleet: Fleet) -> CDR:
    stop(fleet, start(fleet).transaction_ref)
    cdr = CDR.objects.latest("pk")
    rating.rate_and_capture(cdr_id=cdr.pk, now=LATER)
    cdr.refresh_from_db()
    return cdr


def test_a_session_is_priced_and_paid(desk: Client, fleet: Fleet) -> None:
    assert open_wallet(desk, fleet) == 302
    wallets.top_up(organisation_id=fleet.organisation.pk, amount_paise=1_000_00, key="pay_1", at=NOON)  # as the gateway
    assert make_tariff(desk, fleet) == 302
    Tariff.objects.update(valid_from=NOON - timedelta(days=1))
    cdr = charge(fleet)
    assert (cdr.taxable_paise, cdr.total_paise) == (190_00, 224_20)  # 10 kWh at 18.00 and 10.00, GST 18 %
    wallet = Wallet.objects.get()
    assert (wallet.posted_paise, wallet.held_paise) == (1_000_00 - 224_20, 0)
    assert not BillingException.objects.exists()


def test_a_fleet_opens_its_wallet_empty(desk: Client, fleet: Fleet) -> None:
    assert open_wallet(desk, fleet, amount="1000", reference="UTR1") == 302  # a fleet cannot say what we received
    wallet = Wallet.objects.get()
    assert (wallet.posted_paise, wallet.credit_limit_paise, wallet.low_threshold_paise) == (0, 0, 100_00)
    assert not LedgerTransfer.objects.exists()
    assert AuditEntry.objects.get(action="open_wallet").actor.email == "omana@namma.example"
    assert desk.get("/admin/billing/wallet/add/").status_code == 403  # one is enough


def test_who_is_not_fast_enough_is_told_that_there_is_one(
    desk: Client, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_wallet(desk, fleet)
    told = desk.post("/admin/billing/wallet/add/", {"organisation": fleet.organisation.pk, "reason": "x"}, follow=True)
    assert (told.status_code, "There is a wallet already." in told.content.decode()) == (200, True)
    monkeypatch.setattr(wallet_opening, "_without_wallet", lambda request: Organisation.objects.all())  # seen before
    wanted = {"organisation": fleet.organisation.pk, "low_threshold": "200", "reason": "me too"}
    told = desk.post("/admin/billing/wallet/add/", wanted)
    assert (told.status_code, "There is a wallet already." in told.content.decode()) == (200, True)
    assert Wallet.objects.get().low_threshold_paise == 100_00
    assert AuditEntry.objects.filter(action="open_wallet").count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_who_open_it_at_once_open_one(organisation: Organisation, owner: User, finance: User) -> None:
    answers: list[tuple[int, str]] = []

    def open_as(person: User) -> None:
        client = Client()
        client.force_login(person)
        wanted = {"organisation": organisation.pk, "low_threshold": str(person.pk), "reason": "we begin"}
        answer = client.post("/admin/billing/wallet/add/", wanted)
        answers.append((answer.status_code, answer.content.decode()))
        connections.close_all()

    threads = [threading.Thread(target=open_as, args=(person,)) for person in (owner, finance)]
    with transaction.atomic():
        Organisation.objects.select_for_update().get(pk=organisation.pk)
        for thread in threads:
            thread.start()
        until(lambda: waiters() == 2)
    for thread in threads:
        thread.join(60)
    assert sorted(status for status, _ in answers) == [200, 302]
    assert any("There is a wallet already." in page for status, page in answers if status == 200)
    assert (Wallet.objects.count(), AuditEntry.objects.filter(action="open_wallet").count()) == (1, 1)


def test_nobody_opens_another_fleets_wallet(
    desk: Client, fleet: Fleet, other_organisation: Organisation, client: Client, dispatcher: User
) -> None:
    wanted = {"organisation": other_organisation.pk, "reason": "x"}
    assert desk.post("/admin/billing/wallet/add/", wanted).status_code == 200
    dispatcher.is_staff = True
    dispatcher.save()
    client.force_login(dispatcher)
    open_wallet(client, fleet)
    assert not Wallet.objects.exists()


def test_the_operator_of_the_house_may_open_and_price_too(admin_client: Client, fleet: Fleet) -> None:
    assert open_wallet(admin_client, fleet, amount="1000") == 200  # without the bank's reference
    assert not Wallet.objects.exists()
    assert open_wallet(admin_client, fleet, amount="1000", reference="UTR1") == 302
    assert Wallet.objects.get().posted_paise == 1_000_00
    assert make_tariff(admin_client, fleet) == 302
    assert Wallet.objects.get().organisation == fleet.organisation


def test_a_changed_price_is_a_new_version_and_old_sessions_keep_theirs(desk: Client, fleet: Fleet) -> None:
    make_tariff(desk, fleet)
    first = Tariff.objects.get()
    page = f"/admin/stations/tariff/{first.pk}/change/"
    body = desk.get(page).content.decode()
    assert "22:00-06:00 12.50" in body
    places = {"locations": [fleet.location.pk]}
    assert desk.post(page, {**PRICES, **places, "per_kwh": "20"}).status_code == 302
    second = Tariff.objects.get(version=2)
    first.refresh_from_db()
    assert (first.valid_to, first.elements[1]["price_components"][0]["price"]) == (second.valid_from, "18.00")
    assert second.elements[1]["price_components"][0]["price"] == "20.00"
    fleet.connector.refresh_from_db()
    assert fleet.connector.tariff == second
    assert desk.post(page, {**PRICES, "per_kwh": "1"}).status_code == 403  # an old version is history


def test_plugs_that_appear_later_have_the_price_of_their_site(desk: Client, fleet: Fleet) -> None:
    make_tariff(desk, fleet)
    report = services.StatusReport(
        charger_id=fleet.charger.pk, evse_number=2, connector_id=1, status="available", raw_status="Available", at=NOON,
        received_at=NOON,
    )  # fmt: skip
    services.report_statuses([report])
    assert Connector.objects.get(evse__evse_number=2).tariff == Tariff.objects.get()


def test_prices_of_other_fleets_and_networks_are_out_of_reach(
    desk: Client, fleet: Fleet, other_organisation: Organisation
) -> None:
    theirs = make_fleet(other_organisation, has_tariff=False)
    assert make_tariff(desk, fleet, source=theirs.source.pk) == 200
    assert make_tariff(desk, fleet, locations=[theirs.location.pk]) == 200
    assert not Tariff.objects.exists()


def test_hours_that_overlap_are_sent_back(desk: Client, fleet: Fleet) -> None:
    assert make_tariff(desk, fleet, hours="08:00-10:00 1\n09:00-11:00 2") == 200
    assert not Tariff.objects.exists()


def test_a_machine_opens_and_prices_over_the_api(client: Client, fleet: Fleet, organisation: Organisation) -> None:
    _, secret = create_api_key(organisation=organisation, name="ERP", scopes=["billing:write", "stations:write"])

    def post(path: str, **data: object) -> tuple[int, dict[str, object]]:
        answer = client.post(f"/api/v1/{path}/", data, content_type="application/json", headers={"X-API-Key": secret})
        return answer.status_code, answer.json()

    status, wallet = post("wallet", low_threshold_paise=500_00)
    assert (status, wallet["posted_paise"], wallet["low_threshold_paise"]) == (201, 0, 500_00)
    assert post("wallet", low_threshold_paise=1)[1] == wallet
    prices = {
        "network": fleet.source.slug, "external_id": "depot", "name": "Depot", "per_kwh": "18",
        "hours": [{"start": "22:00", "end": "06:00", "per_kwh": "12.50"}], "stations": [fleet.location.public_id],
    }  # fmt: skip
    status, tariff = post("tariffs", **prices)
    assert (status, tariff["version"], post("tariffs", **prices)[1]["version"]) == (201, 1, 1)
    assert post("tariffs", **{**prices, "per_kwh": "19"})[1]["version"] == 2
    fleet.connector.refresh_from_db()
    assert (fleet.connector.tariff.version, fleet.connector.tariff.elements[1]["price_components"]) == (
        2, [{"type": "ENERGY", "price": "19.00", "step_size": 1}],
    )  # fmt: skip
    labels = AuditEntry.objects.order_by("pk").values_list("action", "actor_label")
    assert list(labels) == [("open_wallet", "key ERP"), ("tariff.set", "key ERP"), ("tariff.set", "key ERP")]
    for wrong in ({"network": "elsewhere"}, {"stations": ["FC-IN-00000000"]}, {"hours": [*prices["hours"] * 2]}):
        status, refusal = post("tariffs", **{**prices, **wrong})
        assert (status, refusal["code"], list(refusal["fields"])) == (400, "invalid", list(wrong))
