"""How far a network's word proved true: judged by what its own answers say about plugs it had shown as free."""

from datetime import UTC, datetime, timedelta

import pytest

from stations import services, truth
from stations.models import Connector, CPOCommand, ExternalRef, Party, Source, StatusChange
from stations.registry_models import StatusProof
from stations.tests.factories import make_public_connector, make_source

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def volt() -> Source:
    return make_source(slug="volt", kind="ocpi-2.2.1")


@pytest.fixture
def plug(volt: Source) -> Connector:
    return make_public_connector(volt, status="available", status_since=NOON - timedelta(hours=1))


def ask(plug: Connector, key: str, reason: str, *, state: str = "rejected", asked_at: datetime = NOON) -> bool:
    return services.note_proof(
        connector_id=plug.pk, key=key, asked_at=asked_at, state=state, reason=reason, at=asked_at
    )  # fmt: skip


def score(source: Source) -> int | None:
    source.refresh_from_db()
    return source.truth_percent


@pytest.mark.parametrize(
    ("shown", "state", "reason", "was_true"),
    [
        ("available", "accepted", "ACCEPTED", True),
        ("available", "session_seen", "", True),
        ("available", "rejected", "EVSE_OCCUPIED", False),
        ("available", "rejected", "EVSE_INOPERATIVE", False),
        ("available", "rejected", "Occupied", False),
        ("available", "rejected", "40000: Requested slot overlaps", False),
        ("available", "rejected", "REJECTED", None),  # of the token, of the contract: who knows
        ("available", "timed_out", "no result", None),
        ("available", "failed", "FAILED", None),
        ("charging", "rejected", "EVSE_OCCUPIED", None),  # it had said so
        ("unknown", "accepted", "ACCEPTED", None),
    ],
)
def test_what_an_answer_proves(shown: str, state: str, reason: str, was_true: bool | None) -> None:
    assert truth.judge(shown=shown, state=state, reason=reason) is was_true


def test_little_evidence_is_no_score_and_much_outweighs_the_benefit_of_the_doubt() -> None:
    assert [truth.percent(4, 4), truth.percent(5, 5), truth.percent(0, 5), truth.percent(0, 95)] == [None, 95, 45, 4]


def test_each_asking_counts_once_and_the_score_follows(volt: Source, plug: Connector) -> None:
    for number in range(5):
        assert ask(plug, f"reservation:R{number}", "EVSE_OCCUPIED")
    assert not ask(plug, "reservation:R0", "EVSE_OCCUPIED")
    assert score(volt) == 45
    assert ask(plug, "reservation:R5", "ACCEPTED", state="accepted")
    assert score(volt) == 50


def test_old_evidence_is_forgotten(volt: Source, plug: Connector) -> None:
    Connector.objects.update(status_since=NOON - timedelta(days=60))
    for number in range(9):
        ask(plug, f"reservation:old-{number}", "EVSE_OCCUPIED", asked_at=NOON - timedelta(days=31))
    for number in range(5):
        ask(plug, f"reservation:{number}", "ACCEPTED", state="accepted")
    assert score(volt) == 95


def test_it_is_judged_by_what_was_shown_when_it_was_asked_for(plug: Connector) -> None:
    """The plug is taken now; when it was asked for, the network had it as free."""
    Connector.objects.update(status="charging", status_since=NOON + timedelta(minutes=1))
    StatusChange.objects.create(connector=plug, old="unknown", new="available", at=NOON - timedelta(minutes=9))
    StatusChange.objects.create(connector=plug, old="available", new="charging", at=NOON + timedelta(minutes=1))
    assert ask(plug, "reservation:R1", "EVSE_OCCUPIED")
    assert StatusProof.objects.get().was_true is False
    assert not ask(plug, "reservation:R2", "EVSE_OCCUPIED", asked_at=NOON + timedelta(minutes=2))


def test_the_result_of_an_ocpi_command_is_evidence(volt: Source, plug: Connector) -> None:
    Party.objects.create(source=volt, country_code="IN", party_id="VLT", name="Volt")
    ExternalRef.objects.create(source=volt, kind="evse", external_key="IN*VLT*L1*E1", object_id=plug.evse_id)
    command = CPOCommand.objects.create(
        source=volt, kind="START_SESSION", reservation_key="S1", response_token_hash="x", deadline_at=NOON,
        request={"location_id": "l1", "evse_uid": "e1"},
    )  # fmt: skip
    services.finish_cpo_command(command_id=command.pk, state="rejected", reason="EVSE_OCCUPIED", at=NOON)
    proof = StatusProof.objects.get()
    assert (proof.key, proof.was_true, proof.connector, proof.source) == ("start:S1", False, plug, volt)
