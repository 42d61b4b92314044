"""What there is to choose from at one charger now: sessions to stop, changes to take back, reservations to cancel."""

from datetime import datetime

from django.db.models import Count
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from billing.models import ChargingSession
from fleetcharge.accounts.models import Organisation
from ocpp_bridge.models import Command, ConfigurationChange, ConfigurationRollout
from stations.models import Charger

Choices = tuple[tuple[str, str], ...]


def running_sessions(organisation: Organisation, charger: Charger) -> Choices:
    """By the transaction the charger knows it by. Of another fleet's session only the plug is told. One query."""
    running = ChargingSession.objects.active().filter(charger=charger).select_related("connector__evse", "vehicle")
    return tuple((row.transaction_ref, _session(row, organisation)) for row in running.order_by("started_at", "pk"))


def _session(session: ChargingSession, organisation: Organisation) -> str:
    if session.organisation_id != organisation.pk:
        who = _("another fleet's vehicle")
    else:
        who = session.vehicle.registration if session.vehicle else session.id_token_uid or _("no token")
    since = _clock(session.started_at)
    return _("EVSE %(evse)s · %(who)s · since %(since)s · transaction %(ref)s") % {
        "evse": session.connector.evse.evse_number, "who": who, "since": since, "ref": session.transaction_ref,
    }  # fmt: skip


def change_in_force(organisation: Organisation, charger: Charger) -> Choices:
    """The last roll-out of ours that still holds here, and at how many chargers."""
    held = {"changes__charger": charger, "changes__state": ConfigurationChange.State.SET}
    last = ConfigurationRollout.objects.for_organisation(organisation).filter(**held).order_by("-created_at").first()
    if last is None:
        return ()
    changes = last.changes.filter(state=ConfigurationChange.State.SET)
    count = changes.aggregate(chargers=Count("charger", distinct=True))["chargers"]
    words = {"at": _clock(last.created_at), "count": count, "reason": last.reason[:60]}
    return ((str(last.pk), _("%(at)s · chargers: %(count)s · %(reason)s") % words),)


def held_reservations(organisation: Organisation, charger: Charger) -> Choices:
    """Those asked for by hand or over the API; the ones dispatch promised are dispatch's to take back."""
    now = timezone.now()
    ledger = Command.objects.for_organisation(organisation).filter(charger=charger, state=Command.State.ACCEPTED)
    gone = {
        command.parameters.get("reservation_number")
        for command in ledger.filter(action=Command.Action.CANCEL_RESERVATION).order_by("-created_at")[:200]
    }
    made = ledger.filter(action=Command.Action.RESERVE_NOW, reservation_key="").order_by("-created_at")[:50]
    return tuple(
        (str(number), _reservation(command, ends_at))
        for command in made
        if (number := command.parameters.get("reservation_number")) not in gone
        and (ends_at := parse_datetime(str(command.parameters.get("expires_at")))) is not None
        and ends_at > now
    )


def _reservation(command: Command, ends_at: datetime) -> str:
    return _("EVSE %(evse)s · %(token)s · until %(until)s") % {
        "evse": command.parameters.get("evse_number"), "token": command.parameters.get("id_token"),
        "until": _clock(ends_at),
    }  # fmt: skip


def _clock(at: datetime) -> str:
    return f"{timezone.localtime(at):%d.%m. %H:%M}"
