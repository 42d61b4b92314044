"""Keys of API clients are theirs alone: none of them is one of ours, and one spoilt row stops no sweep."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from billing.models import ChargingSession
from billing.services import bounds
from billing.tests.factories import Fleet, fund, limit, make_fleet, start
from fleetcharge.accounts.models import Organisation, Scope
from ocpp_bridge import configuration, inventory, local_lists, rollouts, security
from ocpp_bridge.models import CertificateRequest, Command
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.test_api import client_of, post
from ocpp_bridge.tests.test_certificates import ca, request_of  # noqa: F401 (a fixture)
from stations.models import Charger

NOW = datetime(2026, 11, 20, 7, 0, tzinfo=UTC)
A = Command.Action


@pytest.fixture
def fleet(organisation: Organisation) -> Fleet:
    """A session that has used up its limit."""
    return exhausted(organisation)


def exhausted(organisation: Organisation) -> Fleet:
    made = make_fleet(organisation)
    limit(organisation, period="session", energy_wh=10_000)
    start(made)
    ChargingSession.objects.update(energy_wh=10_000)
    return made


def key_of_stop(session: ChargingSession) -> str:
    return f"RemoteStop:bound:{session.pk}:{int(NOW.timestamp()) // bounds.ASKED_EVERY_SECONDS}"


def spoil(charger: Charger, key: str) -> None:
    """Something else already has the key of the next command."""
    Command.objects.create(
        organisation=charger.organisation, charger=charger, action=A.CLEAR_CACHE, idempotency_key=key,
        deadline_at=NOW, state="accepted",
    )  # fmt: skip


def test_a_client_cannot_take_the_keys_of_our_machinery(fleet: Fleet) -> None:
    client = client_of(fleet.organisation, Scope.DISPATCH_READ, Scope.DISPATCH_WRITE)
    session = ChargingSession.objects.get()
    key = key_of_stop(session)
    body = {"charger": fleet.charger.ocpp_identity, "action": "ClearCache"}
    made = post(client, body, key)
    assert (made.status_code, made.json()["idempotency_key"]) == (201, key)
    assert post(client, body, key).json()["id"] == made.json()["id"]
    assert bounds.stop_exhausted(now=NOW) == 1
    assert Command.objects.get(action=A.REMOTE_STOP).parameters == {"transaction_ref": session.transaction_ref}


def test_one_session_that_cannot_be_stopped_spares_no_other(
    fleet: Fleet, other_organisation: Organisation, caplog: pytest.LogCaptureFixture
) -> None:
    first = ChargingSession.objects.get()
    spoil(fleet.charger, key_of_stop(first))
    exhausted(other_organisation)
    assert bounds.stop_exhausted(now=NOW) == 1
    assert Command.objects.get(action=A.REMOTE_STOP).organisation == other_organisation
    assert f"session {first.pk} has used up its limit and cannot be stopped" in caplog.text


def test_one_certificate_that_cannot_be_handed_over_keeps_no_other(organisation: Organisation, ca: object) -> None:  # noqa: F811
    for identity in ("BLR-1", "BLR-2"):
        charger = factories.charger(organisation, identity, protocol="ocpp2.0.1")
        CertificateRequest.objects.create(
            charger=charger, kind="ChargingStationCertificate", csr=request_of(identity), csr_hash=identity
        )
    first = CertificateRequest.objects.earliest("pk")
    spoil(first.charger, f"{security.handover_key(first)}:{first.received_at:%Y%m%d%H%M%S%f}")
    assert inventory.sign_waiting(now=timezone.now()) == 1
    assert list(CertificateRequest.objects.order_by("pk").values_list("state", flat=True)) == ["waiting", "signed"]


def test_one_roll_out_that_cannot_go_on_holds_up_no_other(organisation: Organisation) -> None:
    begun = []
    for identity in ("BLR-1", "BLR-2"):
        pair = [factories.charger(organisation, f"{identity}{letter}", protocol="ocpp1.6") for letter in "AB"]
        for charger in pair:
            found = configuration.defaults() | {"HeartbeatInterval": "77"}
            rows = [(key, value, False, False) for key, value in found.items()]
            configuration.store(charger_id=charger.pk, rows=rows, at=NOW)
        ids = [charger.pk for charger in pair]
        begun.append(rollouts.begin(organisation=organisation, charger_ids=ids, actor=None, reason="x", now=NOW))
    Command.objects.update(state="accepted")
    later = begun[0].changes.get(state="waiting")
    spoil(later.charger, f"rollout:{begun[0].pk}:{later.pk}:set")
    assert rollouts.sweep(now=NOW + timedelta(minutes=1)) == 2
    assert [list(one.changes.order_by("pk").values_list("state", flat=True)) for one in begun] == [
        ["sent", "waiting"], ["set", "sent"],
    ]  # fmt: skip


def test_one_list_that_cannot_be_sent_keeps_no_other(organisation: Organisation) -> None:
    fund(organisation, 1_000_00)
    factories.token(organisation, "TAG1")
    first, second = (
        factories.charger(organisation, identity, protocol="ocpp1.6", is_online=True, last_seen_at=NOW)
        for identity in ("BLR-1", "BLR-2")
    )
    spoil(first, f"local-list:{first.pk}:1")
    assert local_lists.sweep(now=NOW) == 2
    assert list(Command.objects.filter(state="queued").values_list("charger", flat=True)) == [second.pk]
