"""Every site with what its plugs are like, in arrays: those that could serve a vehicle, nearest first."""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from django.db import connection
from django.db.models import Count, Max

from fleetcharge.lib.geo import EARTH_RADIUS_M
from stations.models import Location

CHECK_SECONDS = 1.0
REBUILD_SECONDS = 60.0
"""A plug's power may change without a word about its site."""
SETTLE_SECONDS = 10.0
"""While sites come in one by one, the index is not built again for each."""
KINDS = """
SELECT DISTINCT l.id, l.latitude, l.longitude, l.source_id, coalesce(l.organisation_id, 0),
       coalesce(o.organisation_id, 0), c.plug, c.power_type = 'DC', c.max_power_w, c.max_voltage_v
FROM stations_connector c
JOIN stations_evse e ON e.id = c.evse_id AND NOT e.is_removed AND NOT c.is_removed
JOIN stations_location l ON l.id = e.location_id AND NOT l.is_removed
JOIN stations_source o ON o.id = l.source_id AND o.state <> 'disabled'
ORDER BY l.id
"""
Ids = npt.NDArray[np.int64]


class Kind(NamedTuple):
    """What decides whether a plug could serve a vehicle."""

    plug: str
    is_dc: bool
    power_w: int
    voltage_v: int


@dataclass(frozen=True)
class Access:
    """Where a fleet's vehicle may charge. `sites`: only there; empty: no such list."""

    organisation_id: int
    sources: Collection[int]
    sites: Collection[int] = ()


@dataclass(frozen=True)
class Near:
    """Sites, nearest first, and how far they are by the crow."""

    ids: list[int]
    crow_m: list[float]


class _Sites:
    """One state of the registry. A pair is one kind of plug at one site."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        places = {row[0]: row[1:6] for row in rows}
        kinds = {Kind(*row[6:]): None for row in rows}
        self.kinds = list(kinds)
        self.ids: Ids = np.array(list(places), np.int64)
        facts = np.array(list(places.values()), float).reshape(-1, 5)
        self.points = _on_sphere(facts[:, :2])
        self.source, self.depot_of, self.owner = facts[:, 2], facts[:, 3], facts[:, 4]
        number = {kind: at for at, kind in enumerate(self.kinds)}
        at_site = {place: at for at, place in enumerate(places)}
        self.pair_kind: Ids = np.array([number[Kind(*row[6:])] for row in rows], np.int64)
        self.pair_site: Ids = np.array([at_site[row[0]] for row in rows], np.int64)

    def open_to(self, access: Access) -> npt.NDArray[np.bool_]:
        """Public sites of networks with a contract, and the fleet's own; of a list only those on it."""
        own = access.organisation_id
        has_contract = (self.owner == own) | np.isin(self.source, list(access.sources))
        is_listed = np.isin(self.ids, list(access.sites)) | (not access.sites)
        may: npt.NDArray[np.bool_] = np.isin(self.depot_of, (0, own)) & has_contract & is_listed
        return may

    def with_kind(self, fits: Callable[[Kind], bool]) -> npt.NDArray[np.bool_]:
        has = np.zeros(len(self.ids), bool)
        fitting = np.array([fits(kind) for kind in self.kinds], bool)
        has[self.pair_site[fitting[self.pair_kind]]] = True
        return has

    def ordered(self, latitude: float, longitude: float, rows: Ids) -> Near:
        here = _on_sphere(np.array([[latitude, longitude]]))[0]
        chord = np.linalg.norm(self.points[rows] - here, axis=1)
        order = np.argsort(chord, kind="stable")
        crow_m = 2 * EARTH_RADIUS_M * np.arcsin(np.minimum(1.0, chord[order] / 2))
        return Near(self.ids[rows[order]].tolist(), crow_m.tolist())

    def ways_round(self, way: Sequence[tuple[float, float]], rows: Ids) -> npt.NDArray[np.float64]:
        """Of each site, the least that driving over it adds to a leg, in Earth radii."""
        places = _on_sphere(np.array(way))
        to = np.linalg.norm(self.points[rows][:, None, :] - places[None, :, :], axis=2)
        legs = np.linalg.norm(places[1:] - places[:-1], axis=1)
        least: npt.NDArray[np.float64] = (to[:, :-1] + to[:, 1:] - legs).min(axis=1)
        return least


class SiteIndex:
    """Built again when the registry's version moves, and every minute, by one thread while others use what there is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version: object = None
        self._checked_at = self._built_at = float("-inf")
        self._sites = _Sites([])

    def near(self, latitude: float, longitude: float, *, fits: Callable[[Kind], bool], access: Access) -> Near:
        """Sites where the vehicle may charge and a plug would do, whatever the state of that plug."""
        sites = self._current()
        rows = np.flatnonzero(sites.open_to(access) & sites.with_kind(fits)) if len(sites.ids) else sites.ids
        return sites.ordered(latitude, longitude, rows)

    def nearest(self, latitude: float, longitude: float, count: int) -> list[int]:
        """Ids of the nearest sites, whoever may charge there."""
        sites = self._current()
        return sites.ordered(latitude, longitude, np.arange(len(sites.ids))).ids[:count]

    def forget(self) -> None:
        """Look at the registry again at the next question."""
        self._checked_at = self._built_at = float("-inf")

    def along(
        self, way: Sequence[tuple[float, float]], *, fits: Callable[[Kind], bool], access: Access, count: int
    ) -> Near:
        """The sites of the least way round, as the crow flies, on the way from place to place."""
        sites = self._current()
        rows = np.flatnonzero(sites.open_to(access) & sites.with_kind(fits)) if len(sites.ids) else sites.ids
        rows = rows[np.argsort(sites.ways_round(way, rows), kind="stable")[:count]]
        return sites.ordered(*way[0], rows)

    def _current(self) -> _Sites:
        """Nobody is answered from what was not looked at for a minute."""
        age = self._age()
        if age >= CHECK_SECONDS and self._lock.acquire(blocking=age >= REBUILD_SECONDS):
            try:
                if self._age() >= CHECK_SECONDS:
                    self._refresh()
            finally:
                self._lock.release()
        return self._sites

    def _age(self) -> float:
        return time.monotonic() - self._checked_at

    def _refresh(self) -> None:
        version = Location.objects.aggregate(count=Count("pk"), newest=Max("pk"), changed=Max("updated_at"))
        if time.monotonic() - self._built_at >= (REBUILD_SECONDS if version == self._version else SETTLE_SECONDS):
            with connection.cursor() as cursor:
                cursor.execute(KINDS)
                self._sites = _Sites(cursor.fetchall())
            self._version, self._built_at = version, time.monotonic()
        self._checked_at = time.monotonic()


def _on_sphere(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    lat, lon = np.radians(points[:, 0]), np.radians(points[:, 1])
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


sites = SiteIndex()
