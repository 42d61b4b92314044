"""The deeds of each table: alerts, reservations, vehicles, sessions, stations."""

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from billing.models import ChargingSession
from dispatch import services, tasks
from dispatch.depot.models import Depot
from dispatch.models import Alert, ChargePlan, Reservation, SampleRow
from dispatch.services.alerts import next_revision
from dispatch.tables.bulk import Ask, Choice, Deed, Kind, Refused, Wish
from dispatch.tables.bulk import Do as Do
from fleetcharge.accounts.models import Organisation, Scope
from fleetcharge.lib import hints
from stations.models import Location
from stations.services import NotTheirs, show_to_everybody
from vehicles import services as fleet
from vehicles.models import Driver, Vehicle

SNOOZE_MINUTES = {"snooze": 15, "snooze-hour": 60}
NOBODY = "nobody"
OPEN_PLANS = (ChargePlan.State.ACCEPTED, ChargePlan.State.RESERVED, ChargePlan.State.CHARGING)


def _unless_over(is_done: bool) -> None:
    if not is_done:
        raise Refused(gettext("It was over already."))


# --- alerts and reservations --------------------------------------------------------------------------------------
def _snooze(name: str) -> Do:
    def do(pk: int, wish: Wish) -> Any:
        until = wish.now + timedelta(minutes=SNOOZE_MINUTES[name])
        before = Alert.objects.values_list("snoozed_until", flat=True).get(pk=pk)
        _unless_over(services.snooze_alert(alert_id=pk, until=until, **wish.author))
        return [before.isoformat() if before else None, until.isoformat()]

    return do


@transaction.atomic
def _snooze_back(pk: int, before: Any, wish: Wish) -> None:
    """As long as it was out of sight before, unless somebody has chosen another time or shown it since."""
    held, given = before
    next_revision(wish.organisation.pk)  # no other write to the fleet's alerts until this one is done
    alert = Alert.objects.get(pk=pk)
    _unless_over(alert.closed_at is None)
    if alert.snoozed_until != parse_datetime(given):
        raise Refused(gettext("It was changed meanwhile."))
    until = parse_datetime(held) if held else None
    if until is None or until <= wish.now:
        services.wake_alert(alert_id=pk, **wish.author)
    else:
        services.snooze_alert(alert_id=pk, until=until, **wish.author)


def _close(pk: int, wish: Wish) -> None:
    _unless_over(services.close_alert(alert_id=pk, reason="dealt with", now=wish.now, **wish.author))


def _cancel(pk: int, wish: Wish) -> None:
    try:
        done = services.cancel_reservation(number=pk, reason="cancelled by the dispatcher", now=wish.now, **wish.author)
    except services.DecisionRefused:
        raise Refused(gettext("Its plan was changed meanwhile.")) from None
    _unless_over(done)


# --- vehicles -----------------------------------------------------------------------------------------------------
def _depots(organisation: Organisation) -> list[Choice]:
    """Sites whose nights are planned first; then what the fleet calls its depots, as far as somebody said where."""
    sites = Depot.objects.for_organisation(organisation).filter(is_active=True).select_related("location")
    names = _placed(organisation).order_by("depot_name").values_list("depot_name", flat=True).distinct()
    found = {row.location.name[:120]: f"site {row.pk}" for row in sites}
    return [(key, name) for name, key in {**{name: f"name {name}" for name in names}, **found}.items()]


def _placed(organisation: Organisation) -> Any:
    rows = Vehicle.objects.for_organisation(organisation).filter(is_active=True)
    return rows.exclude(depot_name="").exclude(depot_latitude=None).exclude(depot_longitude=None)


def _to_depot(pk: int, wish: Wish) -> Any:
    kind, _space, key = wish.value.partition(" ")
    if kind == "site":
        site = Location.objects.get(pk=int(key), depot__organisation=wish.organisation)
        place = {"depot_name": site.name[:120], "depot_latitude": site.latitude, "depot_longitude": site.longitude}
    else:
        known = _placed(wish.organisation).filter(depot_name=key).order_by("pk")
        place = known.values("depot_name", "depot_latitude", "depot_longitude")[0]
    return _assign(pk, place, wish)


def _drivers(organisation: Organisation) -> list[Choice]:
    rows = Driver.objects.filter(organisation=organisation, is_active=True).order_by("name", "pk")[:1000]
    return [(NOBODY, gettext("Nobody")), *((str(row.pk), row.name) for row in rows)]


def _to_driver(pk: int, wish: Wish) -> Any:
    return _assign(pk, {"default_driver_id": None if wish.value == NOBODY else int(wish.value)}, wish)


def _to_cost_centre(pk: int, wish: Wish) -> Any:
    return _assign(pk, {"cost_centre": wish.value}, wish)


def _retire(pk: int, wish: Wish) -> Any:
    busy = (
        ChargingSession.objects.active().filter(vehicle=pk), Reservation.objects.active().filter(vehicle=pk),
        ChargePlan.objects.filter(vehicle=pk, state__in=OPEN_PLANS),
    )  # fmt: skip
    if any(rows.exists() for rows in busy):
        raise Refused(gettext("It charges, or a place is promised to it."))
    return _assign(pk, {"is_active": False}, wish)


def _assign(pk: int, values: dict[str, Any], wish: Wish) -> Any:
    """What there was, and what there is: an undo takes back nothing that somebody else has set since."""
    before = fleet.assign(vehicle_id=pk, values=values, **wish.author)
    if before is None:
        raise Refused(gettext("It was so already."))
    return [before, {name: values[name] for name in before}]


def _assign_back(pk: int, before: Any, wish: Wish) -> None:
    held, given = before
    if fleet.assign(vehicle_id=pk, values=held, only_if=given, **wish.author) is None:
        raise Refused(gettext("It was changed meanwhile."))


# --- sessions and stations ----------------------------------------------------------------------------------------
def _stop(pk: int, wish: Wish) -> None:
    try:
        command = services.stop_charging(session_id=pk, now=wish.now, **wish.author)
    except services.CommandRefused as refusal:
        raise Refused(_why(refusal.code)) from None
    hints.start(tasks.send_command, command.pk)


def _why(code: str) -> str:
    return {
        "not_running": gettext("This session is not running any more."),
        "not_supported": gettext("This network cannot be told to do that."),
        "in_progress": gettext("That is being done already."),
    }.get(code, code)


def _show(is_public: bool) -> Do:
    def do(pk: int, wish: Wish) -> bool:
        samples = SampleRow.objects.ids(wish.organisation, SampleRow.Kind.SOURCE)
        if Location.objects.filter(pk=pk, source__in=samples).exists():
            raise Refused(gettext("It is demo data; that stays in your fleet."))
        try:
            is_new = show_to_everybody(
                location_id=pk, organisation=wish.organisation, is_public=is_public, **wish.author
            )
        except NotTheirs:
            raise Refused(gettext("This is no station of your own.")) from None
        if not is_new:
            raise Refused(gettext("It was so already."))
        return is_public

    return do


def _show_again(pk: int, was_set_to: Any, wish: Wish) -> None:
    _show(not was_set_to)(pk, wish)


KINDS: dict[str, Kind] = {
    "alert-list": Kind(Alert.objects.for_organisation, lambda row: row.title, (
        Deed("snooze", _("Snooze 15 minutes"), _snooze("snooze"), undo=_snooze_back),
        Deed("snooze-hour", _("Snooze 1 hour"), _snooze("snooze-hour"), undo=_snooze_back),
        Deed("close", _("Close"), _close, sure=_("Yes, close the chosen alerts")),
    )),
    "reservation-list": Kind(
        lambda fleet: Reservation.objects.for_organisation(fleet).select_related("vehicle"),
        lambda row: f"{row.vehicle} · {row.number}", (
        Deed("cancel", _("Cancel"), _cancel, sure=_("Yes, give the chosen places up")),
    )),
    "fleet-list": Kind(
        Vehicle.objects.for_organisation, str, (
        Deed("depot", _("Depot"), _to_depot, ask=Ask(_("Depot"), _depots), undo=_assign_back,
             scope=Scope.VEHICLES_WRITE),
        Deed("driver", _("Driver"), _to_driver, ask=Ask(_("Driver"), _drivers), undo=_assign_back,
             scope=Scope.VEHICLES_WRITE),
        Deed("cost-centre", _("Cost centre"), _to_cost_centre, ask=Ask(_("Cost centre")), undo=_assign_back,
             scope=Scope.VEHICLES_WRITE),
        Deed("retire", _("Take out of service"), _retire, sure=_("Yes, take the chosen vehicles out of service"),
             undo=_assign_back, scope=Scope.VEHICLES_WRITE),
    )),
    "session-list": Kind(
        lambda fleet: ChargingSession.objects.for_organisation(fleet).select_related("vehicle"),
        lambda row: f"{row.vehicle or row.id_token_uid} · {row.pk}", (
        Deed("stop", _("Stop charging"), _stop, sure=_("Yes, stop the chosen sessions")),
    )),
    "station-list": Kind(Location.objects.visible_to, lambda row: row.name, (
        Deed("show", _("Show to everybody"), _show(True), sure=_("Yes, everybody may see the chosen stations"),
             undo=_show_again, scope=Scope.STATIONS_WRITE, is_for_owners=True),
        Deed("hide", _("Only for this fleet"), _show(False), undo=_show_again, scope=Scope.STATIONS_WRITE,
             is_for_owners=True),
    )),
}  # fmt: skip
