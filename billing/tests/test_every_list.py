"""Every list of finance's desk asks as many questions for many rows as for one."""

import copy
import itertools
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import Error, connection, models, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.models import CDR, BillingException
from billing.prices.models import NegotiatedRate
from billing.services import rating, reconciliation
from billing.tests.factories import NOON, make_fleet, start, stop
from fleetcharge.accounts.models import Organisation, User
from tests.belongings import belongings_of

LISTS = sorted(
    (model for model in admin.site._registry if model._meta.app_label == "billing"), key=lambda model: model.__name__
)
WIDE = {"BillingException": {"state": "all"}, "Approval": {"decided": "all"}}  # not only what is open
NUMBERS = itertools.count(4711)


@pytest.fixture
def rows(organisation: Organisation, owner: User, finance: User) -> dict[type[models.Model], models.Model]:
    """One row of every list, with all that it refers to; rows that no rule of the database minds are simply made."""
    belongings_of(organisation)
    fleet = make_fleet(organisation, money_paise=10_000_00)
    stop(fleet, start(fleet, id_token=fleet.token.uid).transaction_ref, ended_at=NOON + timedelta(minutes=30))
    start(fleet, id_token="NOBODY", connector_id=2)
    for cdr in CDR.objects.filter(session__vehicle=fleet.vehicle):
        rating.rate_and_capture(cdr_id=cdr.pk, now=NOON)
        reconciliation.judge(session_id=cdr.session_id, now=NOON)
    BillingException.objects.update(owner=owner)
    NegotiatedRate.objects.create(
        organisation=organisation, source=fleet.source, version=1, name="Fleet rate", elements=[], is_end=True,
        valid_from=NOON, asked_by=owner, approved_by=finance, reason="over", created_at=NOON,
    )  # fmt: skip
    return {model: found for model in LISTS if (found := _row(model)) is not None}


def _row(model: type[models.Model], depth: int = 0) -> models.Model | None:
    found = model._default_manager.order_by("-pk").first()
    if found is not None or depth > 3:
        return found
    for is_full in (True, False):
        values = {
            field.name: _value(field, depth)
            for field in model._meta.concrete_fields
            if not field.has_default() and not field.auto_created and (is_full or not field.null)
        }
        try:
            with transaction.atomic():
                return model._default_manager.create(**values)
        except (Error, ValidationError, ValueError, TypeError):
            continue
    return None


def _value(field: Any, depth: int) -> Any:
    if field.is_relation:
        return _row(field.related_model, depth + 1)
    if field.choices:
        return field.choices[0][0]
    if field.name.endswith("_paise"):
        return 4_711_00
    kinds: list[tuple[type, Any]] = [
        (models.UUIDField, uuid.UUID(int=next(NUMBERS))),
        (models.DateTimeField, NOON), (models.DateField, NOON.date()), (models.BooleanField, False),
        (models.JSONField, {}), (models.BinaryField, b"x"), (models.EmailField, "a@b.example"),
        (models.DecimalField, 1), (models.FloatField, 1.0), (models.IntegerField, 1), (models.TimeField, NOON.time()),
    ]  # fmt: skip
    for kind, value in kinds:
        if isinstance(field, kind):
            return value
    return f"{next(NUMBERS)}"[: field.max_length or 4]


def _twin(row: Any) -> Any:
    """With what was selected and prefetched with it (a copied queryset would be empty)."""
    twin = copy.deepcopy(row)
    if fetched := getattr(row, "_prefetched_objects_cache", None):
        twin._prefetched_objects_cache = dict(fetched)
    return twin


def test_no_list_asks_a_question_per_row(
    client: Client, rows: dict[type[models.Model], models.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row is shown once and then twenty times, as a copy of its own."""
    client.force_login(User.objects.create_superuser("op@fleetcharge.example", "correct horse"))
    shown = ChangeList.get_results
    times = 1

    def many(changelist: ChangeList, request: Any) -> None:
        shown(changelist, request)
        found = list(changelist.result_list)
        changelist.result_list = [_twin(row) for row in found for _ in range(times)]

    monkeypatch.setattr(ChangeList, "get_results", many)
    grown, empty = {}, set()
    for model in LISTS:
        address = reverse(f"admin:billing_{model._meta.model_name}_changelist")
        wide = WIDE.get(model.__name__, {})
        counts = []
        for times in (1, 1, 20):  # noqa: B007 (read by `many`; the first warms what is cached)
            ContentType.objects.clear_cache()
            with CaptureQueriesContext(connection) as seen:
                page = client.get(address, wide)
            assert page.status_code == 200, model
            counts.append(len(seen))
        assert page.context_data
        if not page.context_data["cl"].result_list:
            empty.add(model.__name__)
        if counts[1] != counts[2]:
            grown[model.__name__] = counts[1:]
    assert grown == {}
    assert empty == set()
