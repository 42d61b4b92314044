"""What of a night does not go as everybody would like, in words: who is not ready, which plugs are missing, and why."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from django.utils import timezone
from django.utils.translation import gettext as _

from dispatch.depot.models import Depot, NightPlan
from dispatch.depot.picture import OUT_OF_ORDER
from stations.models import EVSE


class Conflict(NamedTuple):
    """`tone`: bad where a vehicle cannot do its round, warn, or info."""

    tone: str
    text: str


def conflicts_of(depot: Depot, plan: NightPlan, evses: Iterable[EVSE]) -> list[Conflict]:
    """`evses`: all of the depot, with their connectors. The worst first."""
    found = [*_vehicles(plan), *_plugs(plan, evses), *_site(depot, plan)]
    return sorted(found, key=lambda one: ("bad", "warn", "info").index(one.tone))


def _vehicles(plan: NightPlan) -> Iterator[Conflict]:
    for row in plan.result["stays"]:
        if row["evse"] is None and row["need_wh"] > 0:
            yield Conflict(_tone(row), _("No plug is left for %(plate)s: %(words)s.") % _of(row))
        elif row["missing_wh"]:
            yield Conflict(_tone(row), _("%(plate)s is not ready at %(time)s: %(words)s.") % _of(row))


def _tone(row: Mapping[str, Any]) -> str:
    return "bad" if row["missing_must_wh"] else "warn"


def _of(row: Mapping[str, Any]) -> dict[str, str]:
    leaves = timezone.localtime(datetime.fromisoformat(row["leaves_at"]))
    return {"plate": row["registration"], "time": f"{leaves:%H:%M}", "words": _lack(row)}


def _lack(row: Mapping[str, Any]) -> str:
    lacks = {"missing": f"{row['missing_wh'] / 1000:.1f}", "must": f"{row['missing_must_wh'] / 1000:.1f}"}
    if row["missing_must_wh"]:
        return _("%(missing)s kWh are missing, %(must)s of them for its round") % lacks
    return _("%(missing)s kWh are missing") % lacks


def _plugs(plan: NightPlan, evses: Iterable[EVSE]) -> Iterator[Conflict]:
    """Plugs that were not planned with."""
    planned = set(plan.result["plugs"])
    for evse in evses:
        if evse.pk in planned:
            continue
        broken = next((one for one in evse.connectors.all() if one.status in OUT_OF_ORDER), None)
        if broken is None:
            yield Conflict("info", _("Plug %(plug)s is not planned with: another one's vehicle stood there.") % {
                "plug": name_of(evse)
            })  # fmt: skip
        else:
            yield Conflict("warn", _("Plug %(plug)s is not planned with: %(status)s.") % {
                "plug": name_of(evse), "status": broken.get_status_display()
            })  # fmt: skip


def _site(depot: Depot, plan: NightPlan) -> Iterator[Conflict]:
    if not plan.result["is_steered"]:
        yield Conflict("warn", _(
            "This site has no power limit in smart charging, so the plan is advice: chargers do not follow it."
        ))  # fmt: skip
    if plan.result.get("gap", 0) > 0.001:
        percent = {"percent": f"{plan.result['gap'] * 100:.1f}"}
        words = _("A plan that is up to %(percent)s %% cheaper may exist: there was no time to find it.")
        yield Conflict("info", words % percent)
    if not depot.is_active:
        yield Conflict("info", _("Nights of this depot are planned no more."))


def name_of(evse: EVSE) -> str:
    """Its charger's name, and its own where the charger has several."""
    if evse.charger is None:
        return str(evse)
    identity, own = evse.charger.ocpp_identity, evse.physical_reference
    return identity if evse.evse_number == 1 and not own else f"{identity} · {own or evse.evse_number}"
