"""What alerts say: kept as codes and parameters, made into words in the reader's language and the fleet's zone."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django.utils import translation
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from billing.services.afterwards import WORDS
from billing.services.tariffs import zone_of
from vehicles.models import TrackerAlarm

if TYPE_CHECKING:
    from dispatch.models import Alert

ENGLISH = "en"
UNKNOWN = "–"

TITLES: dict[str, Promise] = {
    "out_of_reach": _("%(registration)s has %(soc_percent)s %% and no charger in reach"),
    "no_plug_match": _("%(registration)s has %(soc_percent)s %% and no charger fits it"),
    "none_free": _("%(registration)s has %(soc_percent)s %% and no charger to be had"),
    "may_not_charge": _("%(registration)s has %(soc_percent)s %% and may not charge"),
    "vehicle_silent": _("%(registration)s has %(soc_percent)s %% and does not report"),
    "vehicle_low": _("%(registration)s has %(soc_percent)s %%"),
    "will_not_reach": _("%(registration)s will not reach %(stop)s"),
    "rerouted": _("%(registration)s re-routed to %(place)s"),
    "place_lost": _("%(registration)s has lost its place at %(place)s"),
    "place_moved": _("%(registration)s was moved to %(place)s"),
    "place_taken": _("%(registration)s's place at %(place)s was taken"),
    "reserved_place_taken": _("A reserved place at %(place)s was taken"),
    "charger_silent": _("%(ocpp_identity)s stopped reporting"),
    "network_down": _("%(network)s does not answer"),
    "session_held": _("A session waits for finance"),
    "webhook_off": _("Webhook switched off: %(endpoint)s"),
    "vehicle_alarm": _("%(registration)s: %(alarm)s"),
    "plug_reported_broken": _("Plug %(bay)s at %(place)s is broken"),
    "plug_reported_blocked": _("Plug %(bay)s at %(place)s is blocked"),
    "plug_reported_refused": _("Plug %(bay)s at %(place)s could not be started"),
    "no_show": _("%(registration)s did not come to %(place)s"),
    "overstay": _("%(registration)s is full and still plugged in at %(place)s"),
}

SENTENCES: dict[str, Promise] = {
    "plug_faulted": _("The earlier plug is out of order."),
    "plug_taken": _("The earlier plug was taken."),
    "plug_rejected": _("The earlier plug refused the reservation."),
    "plug_silent": _("The earlier plug stopped reporting."),
    "plug_cancelled": _("The earlier plug cancelled the reservation."),
    "plug_broken": _("The driver says that the earlier plug is broken."),
    "plug_blocked": _("The driver says that the earlier plug is blocked."),
    "plug_refused": _("The driver says that the earlier plug could not be started."),
    "driver_says": _("The driver of %(registration)s says so. Your vehicles are sent elsewhere for an hour."),
    "place_given_up": _("Its place was given up. Call the driver; it is planned for again while it is low."),
    "was_on_the_way": _("The driver had said to be on the way."),
    "nothing_flows": _("Nothing has flowed at plug %(bay)s since %(full_since_at)s. It may cost a fee for idling."),
    "charging_at": _("Charging at %(place)s."),
    "charge_at": _("Charge at %(place)s: %(delay_seconds)s min delay, arrives with %(arrival_soc_percent)s %%."),
    "reserving_at": _("Reserving at %(place)s: %(delay_seconds)s min delay, arrives with %(arrival_soc_percent)s %%."),
    "reserved_at": _("Reserved at %(place)s: %(delay_seconds)s min delay, arrives with %(arrival_soc_percent)s %%."),
    "kept_between": _("Its place is kept from %(kept_from_at)s to %(kept_until_at)s."),
    "network_failing": _("Its network does not answer just now."),
    "lacks": _("It lacks %(deficit_wh)s kWh to the nearest suitable plug."),
    "nothing_fits": _("No charger that it may use has a plug for it that is fast enough."),
    "nothing_free": _("Every suitable plug near it is promised, closed, out of order or not heard of."),
    "would_be_refused": _("A charger would refuse it: %(refusal)s."),
    "still_drives": _("It can still drive %(reach_m)s km."),
    "late_at": _("It comes %(late_seconds)s min late to %(late_stop)s."),
    "not_beyond": _("No plan leads on to %(beyond_stop)s: it is too far, or no road is known."),
    "charges_again": _("It charges again at %(second_place)s."),
    "nearest_is": _("The nearest is %(nearest_place)s."),
    "blocked": _("%(blocked_stop)s is not reached with the charge that is left."),
    "finishes": _("Its stops are reached without charging."),
    "way_charge_first": _("%(more_wh)s kWh more before it leaves would do."),
    "way_use_reserve": _("Driving on into the reserve would do, down to %(left_percent)s %%."),
    "way_drive_economically": _("Driving with %(saved_percent)s %% less would do."),
    "way_skip_stop": _("Leaving out %(skipped_stop)s would do."),
    "call_the_driver": _(
        "Last heard of at %(position_at)s. Call the driver; a charger is looked for when it reports again."
    ),
    "lost_because": _("The reason: %(reason)s."),
    "nothing_nearby": _("No other place nearby could be reserved."),
    "lost_at": _("Its place at %(lost_place)s was lost: %(reason)s."),
    "vehicle_took": _("%(intruder)s started to charge on the reserved connector."),
    "token_took": _("Token %(token)s started to charge on the reserved connector."),
    "stranger_took": _("Another fleet's vehicle started to charge on the reserved connector."),
    "breach_flagged": _("Nothing was stopped."),
    "breach_stopping": _("The charger was asked to stop it."),
    "breach_stopped": _("It was stopped."),
    "breach_not_stopped": _("The charger did not stop it."),
    "last_heard": _("%(place)s. Last heard of at %(last_seen_at)s."),
    "no_answer_since": _(
        "No answer since %(answered_at)s. Its plugs are offered while their last status is fresh, at a higher risk."
    ),
    "no_answer": _("No answer. Its plugs are offered while their last status is fresh, at a higher risk."),
    "as_told": _("%(told)s"),
}

REASONS: dict[str, Promise] = {
    "faulted": _("its plug is out of order"),
    "taken": _("its plug was taken"),
    "silent": _("its charger stopped reporting"),
    "rejected": _("its network refused"),
    "cancelled": _("its network cancelled"),
    "expired": _("its time ran out"),
    "failed": _("its network did not answer"),
}
"""Of a lost place, where it is a word of ours; what a network said stays as it said it."""

NOT_ON_SCREENS = frozenset({
    "stop", "late_stop", "beyond_stop", "blocked_stop", "skipped_stop", "token", "endpoint", "told",
})  # fmt: skip
"""To whom a vehicle goes, with which card somebody charges, what an address says: no screen on the wall tells it."""


@dataclass(frozen=True)
class Says:
    """The title's code, the codes of the sentences below it, and what both are about, in the units their names tell."""

    code: str
    body: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)

    def columns(self) -> dict[str, Any]:
        """As an alert keeps it: instants are text."""
        kept = {name: value.isoformat() if isinstance(value, datetime) else value
                for name, value in self.parameters.items()}  # fmt: skip
        return {"code": self.code, "body_codes": list(self.body), "parameters": kept}


def told(alert: "Alert", zone_name: str, language: str | None = None) -> dict[str, str]:
    """Title and body in this language (None: the one that is active).

    Alerts from before codes keep their text, and so do those with a code of a newer release than this process.
    """
    if alert.code not in TITLES:
        return {"title": alert.title, "body": alert.body}
    with translation.override(language or translation.get_language()):
        return _words(alert.code, alert.body_codes, alert.parameters, zone_of(zone_name))


def told_on_screens(alert: "Alert", zone_name: str, language: str | None = None) -> dict[str, str]:
    """The same for everybody's eyes; of an alert that is only text, which nobody can look through, plate and kind."""
    with translation.override(language or translation.get_language()):
        if alert.code not in TITLES:
            whose = f"{alert.vehicle} · " if alert.vehicle else ""
            return {"title": f"{whose}{alert.get_kind_display()}", "body": ""}
        shown = {**alert.parameters, **dict.fromkeys(NOT_ON_SCREENS & alert.parameters.keys())}
        return _words(alert.code, alert.body_codes, shown, zone_of(zone_name))


def is_for_screens(alert: "Alert") -> bool:
    """Every word of it, as it is."""
    return alert.code in TITLES and NOT_ON_SCREENS.isdisjoint(alert.parameters)


def in_english(says: Says, zone_name: str) -> dict[str, str]:
    """What is kept beside the codes, for webhooks, the API and the admin's search."""
    with translation.override(ENGLISH):
        return _words(says.code, says.body, says.columns()["parameters"], zone_of(zone_name))


def _words(code: str, body: Iterable[str], parameters: Mapping[str, Any], zone: ZoneInfo) -> dict[str, str]:
    shown = _Shown({name: _shown(name, value, zone) for name, value in parameters.items()})
    sentences = [str(SENTENCES[one]) % shown for one in body if one in SENTENCES]
    return {"title": str(TITLES[code]) % shown, "body": " ".join(sentences)}


class _Shown(dict[str, str]):
    """What a sentence asks for and the alert does not have is a dash: a row of another release breaks no page."""

    def __missing__(self, name: str) -> str:
        return UNKNOWN


def _shown(name: str, value: Any, zone: ZoneInfo) -> str:
    """One parameter for the eye, by the unit in its name."""
    if value is None:
        return UNKNOWN
    for ending, show in _UNITS.items():
        if name.endswith(ending):
            return show(value)
    if name.endswith("_at"):
        return _moment(value, zone)
    return _WORDS[name](str(value)) if name in _WORDS else str(value)


def _moment(value: str, zone: ZoneInfo) -> str:
    at = parse_datetime(value)
    return date_format(at.astimezone(zone), "d M H:i") if at else value


def _alarm(kind: str) -> str:
    return str(TrackerAlarm.Kind(kind).label) if kind in TrackerAlarm.Kind.values else kind


_UNITS: dict[str, Callable[[float], str]] = {
    "_percent": lambda value: f"{round(value)}",
    "_seconds": lambda value: f"{round(value / 60)}",
    "_wh": lambda value: f"{value / 1000:.1f}",
    "_m": lambda value: f"{value / 1000:.1f}",
}
_WORDS: dict[str, Callable[[str], str]] = {
    "refusal": lambda code: gettext(WORDS[code]) if code in WORDS else code,
    "reason": lambda code: str(REASONS.get(code, code)),
    "alarm": _alarm,
}
