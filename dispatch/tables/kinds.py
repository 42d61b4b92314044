"""The five tables: who may see each, how it can be sorted, what its columns are on the page and in the file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from dispatch import pages
from dispatch.models import Alert, Reservation
from dispatch.tables import forms, rows
from dispatch.wording import told
from fleetcharge.accounts.models import Organisation, Scope

Shape = Callable[[list[Any]], Sequence[Any]]


@dataclass(frozen=True)
class Head:
    """One column of the page; `sort` is the order a click on it asks for."""

    label: Promise
    sort: str = ""
    is_right: bool = False


@dataclass(frozen=True)
class Table:
    """`sorts`: by name, its label and columns; the first is how it is shown when nobody asks. `fields`: of the file."""

    name: str
    title: Promise
    hint: Promise
    scope: Scope
    form: type[forms.Filter]
    sorts: dict[str, tuple[Promise, tuple[str, ...]]]
    heads: tuple[Head, ...]
    fields: tuple[str, ...]
    rows: Callable[[Organisation, rows.Asked, datetime], QuerySet[Any]]
    record: Callable[[Any], tuple[Any, ...]]
    nothing: Promise
    nothing_yet: Promise
    shape: Shape = list


def local(at: datetime | None) -> str:
    """By the fleet's clock, with its distance from UTC."""
    return "" if at is None else timezone.localtime(at).isoformat(timespec="seconds")


def _fleet_rows(vehicles: list[Any]) -> Sequence[Any]:
    return pages.fleet_rows(vehicles)


def _vehicle(row: Any) -> tuple[Any, ...]:
    state, driver = getattr(row, "state", None), row.default_driver
    known = (None, "", None, None) if state is None else (
        state.soc_percent, state.soc_source if state.soc_percent is not None else "", local(state.soc_at),
        local(state.position_at),
    )  # fmt: skip
    group = forms.GROUPS[row.group][0]
    return (row.registration, str(row.model), driver.name if driver else "", group, *known)


def _session(row: Any) -> tuple[Any, ...]:
    cdr, verdict = getattr(row, "cdr", None), getattr(row, "verdict", None)
    return (
        row.pk, local(row.started_at), local(row.ended_at), row.vehicle.registration if row.vehicle else "",
        row.id_token_uid, row.connector.evse.location.name, row.state, verdict.verdict if verdict else "",
        row.energy_wh, cdr.total_paise if cdr else None,
    )  # fmt: skip


def _station(row: Any) -> tuple[Any, ...]:
    return (
        row.public_id, row.name, row.source.name, row.address, row.city, row.latitude, row.longitude, row.free,
        row.total, row.max_power_w,
    )  # fmt: skip


def _alert(row: Alert) -> tuple[Any, ...]:
    return (
        row.pk, local(row.opened_at), local(row.closed_at), row.kind, row.severity, row.title, row.body,
        row.vehicle.registration if row.vehicle else "", row.location.name if row.location else "", row.close_reason,
    )  # fmt: skip


def _reservation(row: Reservation) -> tuple[Any, ...]:
    site = row.connector.evse.location
    return (
        row.number, row.vehicle.registration, site.name, row.connector.public_id, local(row.starts_at),
        local(row.expires_at), row.state, row.way, row.reason,
    )  # fmt: skip


def _spoken(alerts: list[Alert]) -> Sequence[Alert]:
    for alert in alerts:
        alert.words = told(alert, alert.organisation.time_zone)  # type: ignore[attr-defined]  # for the page
    return alerts


STATIONS = Table(
    "station-list", _("Stations"), _("Name, network, place"), Scope.STATIONS_READ, forms.StationFilter,
    {"name": (_("Name"), ("name", "pk")), "power": (_("Most power"), ("-power_order", "pk")),
     "free": (_("Most free plugs"), ("-free", "pk"))},
    (Head(_("Station"), "name"), Head(_("Network")), Head(_("Place")), Head(_("Free"), "free", is_right=True),
     Head(_("Up to"), "power", is_right=True)),
    ("public_id", "name", "network", "address", "city", "latitude", "longitude", "free", "total", "max_power_w"),
    rows.stations, _station, _("No station found"),
    _("Import a file or connect a network; stations appear here at once."),
)  # fmt: skip

FLEET = Table(
    "fleet-list", _("Fleet"), _("Plate, driver"), Scope.VEHICLES_READ, forms.FleetFilter,
    {"urgency": (_("Urgency"), ("group", "soc_order", "registration", "pk")),
     "plate": (_("Plate"), ("registration", "pk")), "charge": (_("Least charge"), ("soc_order", "pk"))},
    (Head(_("Vehicle"), "plate"), Head(_("Driver")), Head(_("State"), "urgency"),
     Head(_("Charge"), "charge", is_right=True), Head(_("Range"), is_right=True)),
    ("registration", "model", "driver", "state", "soc_percent", "soc_source", "soc_at", "position_at"),
    rows.fleet, _vehicle, _("No vehicles yet"),
    _("Vehicles appear here as soon as a tracker reports. Connect one with an API key."), _fleet_rows,
)  # fmt: skip

SESSIONS = Table(
    "session-list", _("Sessions"), _("Plate, station"), Scope.BILLING_READ, forms.SessionFilter,
    {"newest": (_("Newest"), ("-started_at", "-pk")), "oldest": (_("Oldest"), ("started_at", "pk")),
     "energy": (_("Most energy"), ("-energy_wh", "-pk"))},
    (Head(_("Started"), "newest"), Head(_("Vehicle")), Head(_("Station")), Head(_("State")), Head(_("Evidence")),
     Head(_("Energy"), "energy", is_right=True), Head(_("Price"), is_right=True)),
    ("session", "started_at", "ended_at", "registration", "token", "station", "state", "verdict", "energy_wh",
     "total_paise"),
    rows.sessions, _session, _("No sessions yet"),
    _("Each time a vehicle of yours charges, the session, its price and its evidence appear here."),
)  # fmt: skip

ALERTS = Table(
    "alert-list", _("Alerts"), _("Plate, station, words"), Scope.DISPATCH_READ, forms.AlertFilter,
    {"newest": (_("Newest"), ("-opened_at", "-pk")), "oldest": (_("Oldest"), ("opened_at", "pk"))},
    (Head(_("Opened"), "newest"), Head(_("Alert")), Head(_("About")), Head(_("Vehicle")), Head(_("Closed"))),
    ("alert", "opened_at", "closed_at", "kind", "severity", "title", "body", "registration", "station",
     "close_reason"),
    rows.alerts, _alert, _("Nothing needs you"),
    _("Vehicles that will not reach, blocked bays and held money appear here."), _spoken,
)  # fmt: skip

RESERVATIONS = Table(
    "reservation-list", _("Reservations"), _("Plate, station"), Scope.DISPATCH_READ, forms.ReservationFilter,
    {"newest": (_("Latest first"), ("-starts_at", "-number")),
     "oldest": (_("Earliest first"), ("starts_at", "number"))},
    (Head(_("From"), "newest"), Head(_("Vehicle")), Head(_("Station")), Head(_("Plug")), Head(_("Way")),
     Head(_("State"))),
    ("reservation", "registration", "station", "connector", "starts_at", "expires_at", "state", "way", "reason"),
    rows.reservations, _reservation, _("No reservations yet"),
    _("Bays that are held for your vehicles, by a plan or by hand, appear here."),
)  # fmt: skip
