"""Finance reads names, words and rupees on its desk: no code, no figure in paise, no long id in a list."""

import re
import uuid
from datetime import timedelta
from decimal import Decimal
from html.parser import HTMLParser

import pytest
from django.db import models
from django.test import Client
from django.urls import reverse

from billing.desk import words
from billing.invoicing.models import TaxDocument
from billing.models import (
    CDR,
    AuthorisationDecision,
    BillingException,
    BillUpload,
    ChargingPolicy,
    ChargingSession,
    GatewayPayment,
    Hold,
    Job,
    PaymentDispute,
    PaymentIntent,
    RuleTerms,
    SettlementRow,
)
from billing.services import wallets
from billing.tests import test_every_list
from billing.tests.factories import NOON, make_fleet, start, stop
from fleetcharge.accounts.models import Organisation, User
from stations.cpo.ocpi.models import RoamingCDR

rows = test_every_list.rows
CODE = re.compile(r"^[a-z]+(_[a-z]+)+$")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
OTHER_UNITS = re.compile(r"\d (paise|Wh|VA)\b")
JSON = re.compile(r"^[\[{].*[\]}]$", re.DOTALL)
THE_LAWS_OWN = {"TaxRule"}  # values as a notification writes them
OF_THE_CHART = {"output_cgst", "output_sgst", "output_igst"}  # accounts that are called so in every export
VOID = {"img", "input", "br", "hr", "path", "meta", "link", "use"}


class Texts(HTMLParser):
    """What stands in the cells of the list, or in the fields of a page that is only read."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._depth, self._icon, self._is_list = 0, 0, False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self._is_list = self._is_list or told.get("id") == "result_list"
        is_cell = self._is_list and tag in {"td", "th"} and told.get("scope") != "col"
        if self._depth:
            self._depth += tag not in VOID
            if "material-symbols-outlined" in (told.get("class") or ""):
                self._icon = self._depth
        elif is_cell or "readonly" in (told.get("class") or "").split():
            self._depth = 1
            self.found.append("")

    def handle_endtag(self, tag: str) -> None:
        if self._depth and tag not in VOID:
            self._icon = 0 if self._icon == self._depth else self._icon
            self._depth -= 1
        if tag == "table":
            self._is_list = False

    def handle_data(self, data: str) -> None:
        if self._depth and not self._icon:
            self.found[-1] = f"{self.found[-1]} {data.strip()}".strip()


def address(model: type[models.Model], *args: object) -> str:
    return reverse(f"admin:billing_{model._meta.model_name}_{'change' if args else 'changelist'}", args=args)


def texts(client: Client, model: type[models.Model], *args: object) -> list[str]:
    page = client.get(address(model, *args), {} if args else test_every_list.WIDE.get(model.__name__, {}))
    assert page.status_code == 200, (model, args)
    found = Texts(page.content.decode()).found
    assert found, (model, args)
    return found


def raw_figures(row: models.Model) -> set[str]:
    """Amounts and energies as the database keeps them, where they could not be anything else."""
    named = ((field.name, getattr(row, field.attname)) for field in row._meta.concrete_fields)
    return {f"{value}" for name, value in named if name.endswith(("_paise", "_wh")) and value and abs(value) > 999}


def unreadable(found: list[str], row: models.Model, *, is_list: bool) -> list[str]:
    raw, patterns = raw_figures(row), [CODE, OTHER_UNITS, JSON, *([UUID] if is_list else [])]
    odd = [text for text in found if text in raw or any(pattern.search(text) for pattern in patterns)]
    return [text for text in odd if text not in OF_THE_CHART]


@pytest.fixture
def operator(client: Client, organisation: Organisation) -> Client:
    client.force_login(User.objects.create_superuser("op@fleetcharge.example", "correct horse"))
    return client


def test_no_list_and_no_page_shows_a_code_or_a_raw_figure(
    operator: Client, rows: dict[type[models.Model], models.Model]
) -> None:
    found: dict[str, list[str]] = {}
    for model, row in rows.items():
        if model.__name__ in THE_LAWS_OWN:
            continue
        for name, args in (("list", ()), ("page", (row.pk,))):
            page = operator.get(address(model, *args), {} if args else test_every_list.WIDE.get(model.__name__, {}))
            assert page.status_code == 200, (model, args)
            if odd := unreadable(Texts(page.content.decode()).found, row, is_list=not args):
                found[f"{model.__name__} {name}"] = odd
    assert found == {}


def test_codes_of_gateways_stations_and_jobs_are_words(
    operator: Client, rows: dict[type[models.Model], models.Model], organisation: Organisation
) -> None:
    GatewayPayment.objects.update(method="netbanking")
    PaymentDispute.objects.update(status="under_review", reason_code="goods_not_received")
    PaymentIntent.objects.update(error={"reason": "insufficient_funds", "code": "BAD_REQUEST"})
    SettlementRow.objects.update(kind="refund")
    AuthorisationDecision.objects.update(reason="not_on_shift")
    cdr = CDR.objects.filter(captured_at__isnull=False).select_related("session__vehicle").get()
    Job.objects.create(kind="rate_cdr", key=f"{cdr.pk}", organisation=organisation)
    told = {
        GatewayPayment: "Net banking", PaymentDispute: "Under review", SettlementRow: "Refund",
        PaymentIntent: "not enough money in the payer's account", AuthorisationDecision: "Nobody was on shift",
        Job: "Price and charge a session",
    }  # fmt: skip
    assert {model: word for model, word in told.items() if word not in texts(operator, model)} == {}
    assert "Goods not received" in texts(operator, PaymentDispute)
    assert any(str(cdr.session.vehicle) in text for text in texts(operator, Job))


def test_they_are_hindi_for_who_reads_hindi(operator: Client, rows: dict[type[models.Model], models.Model]) -> None:
    GatewayPayment.objects.update(method="netbanking")
    operator.cookies["django_language"] = "hi"
    assert "नेट बैंकिंग" in texts(operator, GatewayPayment)


def test_the_ledger_names_accounts_and_says_what_moved(
    operator: Client, organisation: Organisation, rows: dict[type[models.Model], models.Model]
) -> None:
    [transfers] = [model for model in rows if model.__name__ == "LedgerTransfer"]
    found = texts(operator, transfers)
    assert {"Top-up", f"Wallet · {organisation}", "₹10,000.00"} <= set(found)
    assert not any(re.search(r"\b(wallet|receivable):\d", text) for text in found)


def test_a_job_says_what_it_is_about(
    operator: Client, rows: dict[type[models.Model], models.Model], organisation: Organisation
) -> None:
    record, upload, document = (model.objects.latest("pk") for model in (RoamingCDR, BillUpload, TaxDocument))
    for kind, row in (("take_cdr", record), ("network_bill", upload), ("document_letter", document)):
        Job.objects.create(kind=kind, key=f"{row.pk}", organisation=organisation)
    Job.objects.create(kind="take_cdr", key="987654", organisation=organisation)  # it is gone
    about = {f"{record.source} {record.key}", f"{upload.source} {upload.number}", str(document), "987654"}
    assert about <= set(texts(operator, Job))


def test_a_hold_says_for_whom_and_where(operator: Client, organisation: Organisation) -> None:
    fleet = make_fleet(organisation, money_paise=10_000_00)
    begun = [start(fleet, id_token=fleet.token.uid, connector_id=number) for number in (1, 2)]
    wallets.hold(organisation_id=organisation.pk, session_key="subscription:7", amount_paise=1_00, now=NOON)
    found = texts(operator, Hold)
    assert found.count(fleet.vehicle.registration) == len({one.session_id for one in begun if one.session_id})
    assert fleet.location.name in found and "subscription:7" in found
    assert Hold.objects.filter(session_key__startswith="session:").exists()


def test_a_long_reference_is_short_in_lists_and_whole_on_its_page(operator: Client, organisation: Organisation) -> None:
    fleet, reference = make_fleet(organisation), str(uuid.UUID(int=0x3F2A91C4 << 96))
    session = ChargingSession.objects.get(pk=start(fleet).session_id)
    ChargingSession.objects.update(transaction_ref=reference, stop_reason="EVDisconnected")
    session.refresh_from_db()
    assert str(session) == f"3f2a91c4… · {session.vehicle}"
    page = texts(operator, ChargingSession, session.pk)
    assert {reference, "Unplugged", "Allowed"} <= set(page)


def test_times_are_by_the_clock_of_the_organisation(client: Client, finance: User, organisation: Organisation) -> None:
    Organisation.objects.update(time_zone="Asia/Dubai")
    fleet = make_fleet(organisation)
    stop(fleet, start(fleet).transaction_ref, ended_at=NOON + timedelta(minutes=100))
    client.force_login(finance)
    found = texts(client, ChargingSession)
    assert "20 Nov 2026, 10:30" in found  # noon in Bengaluru
    assert "1 h 40 min" in found


def test_an_exceptions_facts_are_lines_of_words(operator: Client, organisation: Organisation) -> None:
    row = BillingException.objects.create(
        organisation=organisation, kind="payment_odd", title="A payment of nobody", opened_at=NOON,
        details={"asked_paise": 12_345_67, "was_offline": True, "heads": [{"rule": "L1", "radius_m": 1_500}]},
    )  # fmt: skip
    page = " ".join(texts(operator, BillingException, row.pk))
    for line in ("Asked: ₹12,345.67", "Was offline: Yes", "Heads: Rule: L1; Radius: 1,500 m"):
        assert line in page


def test_thresholds_are_told_by_name(operator: Client, organisation: Organisation, owner: User) -> None:
    RuleTerms.objects.create(
        organisation=organisation, valid_from=NOON.date(), changes={"l1_points": 40}, reason="r", created_by=owner
    )
    assert "L1 points: 40" in texts(operator, RuleTerms)


def test_a_policys_amount_is_typed_in_rupees(
    client: Client, owner: User, finance: User, organisation: Organisation
) -> None:
    policy = ChargingPolicy.objects.create(organisation=organisation, limit_raise_free_paise=500_00)
    url = address(ChargingPolicy, policy.pk)
    client.force_login(owner)
    form = client.get(url).context["adminform"].form
    assert form["limit_raise_free"].value() == Decimal(500)
    kept = {"organisation": organisation.pk, "shift_margin_minutes": 30, "reserved_bay": "flag"}
    for typed, paise in (("1250.50", 1_250_50), ("", None), ("0", 0)):
        client.post(url, {**kept, "limit_raise_free": typed})
        policy.refresh_from_db()
        assert policy.limit_raise_free_paise == paise
    client.post(url, {**kept, "limit_raise_free": "-1"})
    policy.refresh_from_db()
    assert policy.limit_raise_free_paise == 0
    client.force_login(finance)  # who only looks
    assert "₹0.00" in texts(client, ChargingPolicy, policy.pk)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (words.kwh(1_23_45_678_90), "12,34,567.89"), (words.kwh(-5), "-0.01"), (words.kwh(4), "0.00"),
        (words.duration(59), "59 s"), (words.duration(3_599), "59 min"), (words.duration(360_000), "100 h 00 min"),
        (words.named({}, ""), "—"), (words.named({}, "goods_not_received"), "Goods not received"),
        (words.apparent_power(90_500), "90.5 kVA"), (words.milliseconds(None), "—"), (words.told({}), "—"),
    ],
)  # fmt: skip
def test_values_by_their_units(shown: str, expected: str) -> None:
    assert shown == expected
