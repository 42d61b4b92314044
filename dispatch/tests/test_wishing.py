"""Who may free which cable, and which network hears what is asked of a session at a plug that several tell of."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from billing.models import ChargingSession
from dispatch.models import SessionCommand
from dispatch.services import commands, wishing
from dispatch.services.wishing import CommandRefused
from dispatch.tests import factories
from fleetcharge.accounts.models import Organisation
from stations.models import EVSE, Connector, Location, Source, StatusChange
from stations.tests.conftest import ours, usual  # noqa: F401 (fixtures)
from stations.tests.ocpi_peers import Network

pytestmark = pytest.mark.django_db
TEN = factories.NOW
LATER = TEN + timedelta(minutes=30)


def at(minutes: int) -> datetime:
    return TEN + timedelta(minutes=minutes)


def session(plug: Connector, fleet: Organisation, began: int, ended: int | None) -> ChargingSession:
    return ChargingSession.objects.create(
        organisation=fleet, source=plug.evse.location.source, connector=plug, transaction_ref=f"t{began}",
        start_key=f"s{plug.pk}-{began}", started_at=at(began), state="active" if ended is None else "ended",
        ended_at=None if ended is None else at(ended),
    )  # fmt: skip


def public_plug(*fleets: Organisation) -> Connector:
    network = factories.public_network(*fleets)
    Source.objects.filter(pk=network.pk).update(endpoints={"commands": "https://cpo.example/commands"})
    plug = factories.connector(factories.location(network))
    EVSE.objects.filter(pk=plug.evse_id).update(capabilities=["UNLOCK_CAPABLE"])
    return plug


def unlock(plug: Connector, fleet: Organisation) -> SessionCommand:
    return wishing.unlock(organisation_id=fleet.pk, connector_id=plug.pk, actor=None, now=LATER)


def test_a_public_plug_is_freed_for_who_charged_last_and_for_nobody_else(
    organisation: Organisation, other_organisation: Organisation
) -> None:
    plug = public_plug(organisation, other_organisation)
    mine = session(plug, organisation, -60, 0)
    session(plug, other_organisation, -120, -70)  # before ours
    assert unlock(plug, organisation).session == mine
    SessionCommand.objects.all().delete()
    theirs = session(plug, other_organisation, 10, None)
    for _ in range(2):
        with pytest.raises(CommandRefused) as refused:
            unlock(plug, organisation)
        assert refused.value.code == "not_yours"
        theirs.state, theirs.ended_at = "ended", at(20)
        theirs.save()
    assert unlock(plug, other_organisation).session == theirs


@pytest.mark.parametrize(
    ("old", "new", "minute", "is_freed"),
    [
        ("charging", "occupied", 1, True),  # it is full, and hangs there still
        ("occupied", "faulted", 5, True),
        ("available", "occupied", -5, True),  # before it ended
        ("available", "occupied", 10, False),
        ("reserved", "occupied", 10, False),
        ("occupied", "charging", 10, False),
    ],
)
def test_a_public_plug_that_filled_again_is_not_freed(
    organisation: Organisation, old: str, new: str, minute: int, is_freed: bool
) -> None:
    """Whoever came pays in another way: no session tells of it."""
    plug = public_plug(organisation)
    session(plug, organisation, -60, 0)
    StatusChange.objects.create(connector=plug, old=old, new=new, at=at(minute))
    if is_freed:
        assert unlock(plug, organisation).state == "requested"
        return
    with pytest.raises(CommandRefused) as refused:
        unlock(plug, organisation)
    assert refused.value.code == "not_yours"


@pytest.mark.django_db(transaction=True)
def test_what_is_asked_of_a_session_goes_to_the_network_that_tells_of_it(
    usual: Network,  # noqa: F811
    organisation: Organisation,
) -> None:
    """The site belongs to another source, which has nothing to command; the plug is one that both tell of."""
    Location.objects.update(source=factories.source(kind="ocpi-2.2.1"))
    EVSE.objects.update(capabilities=["CHARGING_PROFILE_CAPABLE", "CHARGING_PREFERENCES_CAPABLE"])
    now = timezone.now()
    row = session(usual.plug(), organisation, 0, None)
    row.source, row.transaction_ref = usual.source, "S1"
    row.save()
    for kind, said in (("limit", {"max_power_w": 30_000}), ("outlook", {}), ("unlimit", {}), ("prefer", PREFERENCE)):
        asked = wishing.wish(session_id=row.pk, kind=kind, parameters=said, actor=None, now=now)
        commands.send_command(asked.pk, now)
        SessionCommand.objects.filter(pk=asked.pk).update(state="accepted")  # the next may be asked
    assert [(method, ref) for method, ref, _ in usual.peer.profiles] == [("PUT", "S1"), ("GET", "S1"), ("DELETE", "S1")]
    assert list(usual.peer.preferences) == ["S1"]
    stop = commands.stop_charging(session_id=row.pk, actor=None, now=now)
    commands.send_command(stop.pk, now)
    assert [(kind, body["session_id"]) for kind, body in usual.peer.commands] == [("STOP_SESSION", "S1")]


PREFERENCE = {"style": "GREEN", "departure_at": "2026-11-21T16:00:00Z", "energy_wh": 30_000}
