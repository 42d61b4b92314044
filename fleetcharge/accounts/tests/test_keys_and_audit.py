"""API keys are compared, never stored; the audit trail only grows."""

from datetime import timedelta

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from fleetcharge.accounts import services
from fleetcharge.accounts.models import APIKey, AuditEntry, Organisation, Scope, User


def test_a_key_is_found_by_its_secret_and_stored_only_as_a_hash(organisation: Organisation) -> None:
    key, secret = services.create_api_key(organisation=organisation, name="TMS", scopes=[Scope.STATIONS_READ])
    assert services.find_api_key(secret) == key
    assert secret not in str(APIKey.objects.filter(pk=key.pk).values().get())


def test_a_wrong_revoked_or_expired_key_finds_nothing(organisation: Organisation) -> None:
    key, secret = services.create_api_key(organisation=organisation, name="TMS", scopes=[Scope.STATIONS_READ])
    assert services.find_api_key(secret + "x") is None
    APIKey.objects.filter(pk=key.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert services.find_api_key(secret) is None
    APIKey.objects.filter(pk=key.pk).update(expires_at=None, revoked_at=timezone.now())
    assert services.find_api_key(secret) is None


def test_the_database_refuses_to_change_the_audit_trail(organisation: Organisation, owner: User) -> None:
    entry = services.audit(action="rename", target=organisation, actor=owner, reason="typo", organisation=organisation)
    for forbidden in (
        lambda: AuditEntry.objects.filter(pk=entry.pk).update(reason="none"),
        lambda: AuditEntry.objects.filter(pk=entry.pk).delete(),
    ):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            forbidden()
    entry.refresh_from_db()
    assert entry.reason == "typo"


def test_one_person_per_address_whatever_the_case(organisation: Organisation, owner: User) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        User.objects.create(email=owner.email.upper())
