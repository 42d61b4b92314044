"""Which tokens may charge at which sites: what a charger must know to decide without us."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from billing.models import AllowedSite, ChargingPolicy, Wallet
from billing.services.authorisation import group_of
from stations.models import Location, NetworkAccess
from vehicles.models import IdToken, Vehicle


@dataclass(frozen=True)
class Listed:
    """One token that may charge. `kind` is an IdToken.Kind, `group_id` as in Decision."""

    uid: str
    kind: str
    expires_at: datetime | None
    group_id: str


@dataclass(frozen=True)
class _Held:
    """A token with what decides where it may be used."""

    token_id: int
    vehicle_id: int | None
    listed: Listed


class Rosters:
    """Everything that decides, read once (four queries); then one roster per site without any.

    Left out is what changes by the hour: shifts, limits and the amount in the wallet; who charges offline against those
    is found out afterwards (services.afterwards).
    """

    def __init__(self, *, now: datetime) -> None:
        self._tokens = _tokens_by_fleet(now)
        self._made: dict[tuple[tuple[int, ...], int], tuple[Listed, ...]] = {}
        self._contracts: dict[int, set[int]] = defaultdict(set)
        for organisation_id, source_id in NetworkAccess.objects.values_list("organisation_id", "source_id"):
            self._contracts[source_id].add(organisation_id)
        self._sites_of_token: dict[int, set[int]] = defaultdict(set)
        self._sites_of_vehicle: dict[int, set[int]] = defaultdict(set)
        for token_id, vehicle_id, location_id in AllowedSite.objects.values_list("id_token", "vehicle", "location"):
            where = self._sites_of_token[token_id] if token_id else self._sites_of_vehicle[vehicle_id]
            where.add(location_id)

    def at(self, location: Location) -> tuple[Listed, ...]:
        """The tokens of the site's own fleet first, each fleet's in the order of their ids. Needs `source`.

        Sites with the same fleets get the very same tuple, unless somebody keeps site lists.
        """
        owner_id = location.source.organisation_id
        fleets = self._contracts.get(location.source_id, set()) | ({owner_id} if owner_id else set())
        if location.organisation_id is not None:
            fleets &= {location.organisation_id}
        ordered = tuple(sorted(fleets, key=lambda fleet_id: (fleet_id != owner_id, fleet_id)))
        key = (ordered, location.pk if self._sites_of_token or self._sites_of_vehicle else 0)
        if key not in self._made:
            held = (held for fleet in ordered for held in self._tokens.get(fleet, ()))
            self._made[key] = tuple(one.listed for one in held if self._may(one, location))
        return self._made[key]

    def _may(self, held: _Held, location: Location) -> bool:
        sites = self._sites_of_token.get(held.token_id, set()) | self._sites_of_vehicle.get(held.vehicle_id or 0, set())
        return not sites or location.pk in sites


def fleets_with_lists(organisation_ids: Iterable[int]) -> set[int]:
    """Those that let us write the lists of their chargers."""
    wanted = set(organisation_ids)
    refusing = ChargingPolicy.objects.filter(organisation_id__in=wanted, has_local_lists=False)
    return wanted - set(refusing.values_list("organisation_id", flat=True))


def _tokens_by_fleet(now: datetime) -> dict[int, list[_Held]]:
    solvent = Wallet.objects.filter(state=Wallet.State.ACTIVE).values("organisation_id")
    tokens = IdToken.objects.filter(is_active=True, organisation_id__in=solvent)
    tokens = tokens.filter(Q(valid_until=None) | Q(valid_until__gt=now))
    tokens = tokens.exclude(vehicle__is_active=False).exclude(driver__is_active=False)
    usual = _usual_vehicles()
    found: dict[int, list[_Held]] = defaultdict(list)
    columns = ("pk", "organisation_id", "uid", "kind", "valid_until", "vehicle_id", "driver_id")
    for pk, fleet, uid, kind, until, vehicle_id, driver_id in tokens.order_by("pk").values_list(*columns):
        vehicle = vehicle_id or usual.get(driver_id or 0)
        found[fleet].append(_Held(pk, vehicle, Listed(uid, kind, until, group_of(vehicle))))
    return found


def _usual_vehicles() -> dict[int, int]:
    """Drivers with exactly one vehicle."""
    vehicles: dict[int, list[int]] = defaultdict(list)
    rows = Vehicle.objects.filter(is_active=True, default_driver__isnull=False)
    for driver_id, vehicle_id in rows.values_list("default_driver_id", "pk"):
        vehicles[driver_id or 0].append(vehicle_id)
    return {driver_id: found[0] for driver_id, found in vehicles.items() if len(found) == 1}
