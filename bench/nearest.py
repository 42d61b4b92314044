"""Nearest 20 of 100,000 stations with a power and status filter: exact against brute force, and how fast.

    python -m bench.nearest [--stations 100000] [--queries 300]

Runs on engines of its own in a temporary folder. The floor is the bare SQL statement on an open cursor; the view is the
whole answer of `/api/v1/stations/?near=...` in-process, with its key, its version and its connectors as JSON.
"""

import argparse
import functools
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

TOWNS, SEED, WANTED = 400, 7, 20
FLOOR = """
SELECT l.id FROM stations_location l
WHERE NOT l.is_removed AND l.organisation_id IS NULL AND EXISTS (
    SELECT 1 FROM stations_connector c JOIN stations_evse e ON e.id = c.evse_id
    WHERE e.location_id = l.id AND c.max_power_w >= 30000 AND c.status = 'available')
ORDER BY ll_to_earth(l.latitude, l.longitude) <-> ll_to_earth(%s, %s) LIMIT 20
"""


def places(count: int) -> np.ndarray:
    """80 % clustered in 400 towns, the rest anywhere in India; (n, 2) latitude, longitude."""
    rng = np.random.default_rng(SEED)
    towns = np.column_stack([rng.uniform(9, 32, TOWNS), rng.uniform(70, 92, TOWNS)])
    clustered = towns[rng.integers(0, TOWNS, int(count * 0.8))] + rng.normal(0, 0.08, (int(count * 0.8), 2))
    spread = np.column_stack([rng.uniform(8, 34, count - len(clustered)), rng.uniform(68, 97, count - len(clustered))])
    return np.vstack([clustered, spread])


def fill(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Insert one connector per station; returns (ids, mask of those that pass the filter)."""
    from django.db import connection
    from django.utils import timezone

    from stations.models import EVSE, Connector, Location, Source

    rng = np.random.default_rng(SEED + 1)
    power_w = rng.choice([7_400, 22_000, 30_000, 60_000, 120_000], len(points))
    is_free = rng.random(len(points)) < 0.6
    source = Source.objects.create(slug="bench", name="Bench", kind="import")
    now = timezone.now()
    sites = Location.objects.bulk_create(
        [Location(source=source, name=f"S{n}", latitude=a, longitude=b) for n, (a, b) in enumerate(points.tolist())],
        batch_size=5000,
    )
    units = EVSE.objects.bulk_create([EVSE(location=site, uid="1") for site in sites], batch_size=5000)
    Connector.objects.bulk_create(
        [
            Connector(evse=evse, plug="ccs2", max_power_w=int(power), heard_at=now,
                      status="available" if free else "charging")
            for evse, power, free in zip(units, power_w, is_free, strict=True)
        ],
        batch_size=5000,
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return np.array([site.pk for site in sites]), is_free & (power_w >= 30_000)


def brute_force(points: np.ndarray, where: tuple[float, float]) -> np.ndarray:
    """Chord lengths on the unit sphere; monotonic in distance."""

    def unit(latitude: Any, longitude: Any) -> Any:
        a, b = np.radians(latitude), np.radians(longitude)
        return np.stack([np.cos(a) * np.cos(b), np.cos(a) * np.sin(b), np.sin(a)], axis=-1)

    difference: np.ndarray = unit(points[:, 0], points[:, 1]) - unit(*where)
    return np.asarray(np.linalg.norm(difference, axis=1))


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    result = work()
    return result, (time.perf_counter() - began) * 1000


def _bare(cursor: Any, where: tuple[float, float]) -> Any:
    return cursor.execute(FLOOR, where).fetchall()


def run(stations: int, queries: int) -> None:
    from django.core.management import call_command
    from django.db import connection

    from fleetcharge.accounts.models import Organisation
    from stations.nearest import Near, nearest

    call_command("migrate", verbosity=0)
    points = places(stations)
    ids, passes = fill(points)
    fleet = Organisation.objects.create(name="Bench", slug="bench")
    rng = np.random.default_rng(SEED + 2)
    exact, ours, floor, whole = 0, [], [], []
    view = answer_of_the_api(fleet)
    for row in rng.integers(0, len(points), queries):
        where = (float(points[row][0] + rng.normal(0, 0.05)), float(points[row][1] + rng.normal(0, 0.05)))
        near = Near(*where, fleet.pk, min_power_w=30_000, is_available=True, limit=WANTED)
        rows, took = timed(functools.partial(nearest, near))
        found = [pk for pk, _ in rows]
        ours.append(took)
        with connection.cursor() as cursor:
            floor.append(timed(functools.partial(_bare, cursor, where))[1])
        answer, took = timed(functools.partial(view, where))
        whole.append(took)
        shown = [station["name"] for station in answer["results"]]
        distances = np.where(passes, brute_force(points, where), np.inf)
        closest = np.argsort(distances)[:WANTED]
        exact += found == ids[closest].tolist() and shown == [f"S{n}" for n in closest]
    report(stations, exact, ours, floor, whole)


def answer_of_the_api(fleet: Any) -> Callable[[tuple[float, float]], Any]:
    """The station list as an API key calls it, without a socket."""
    import orjson
    from rest_framework.test import APIRequestFactory

    from fleetcharge.accounts.models import Scope
    from fleetcharge.accounts.services import create_api_key
    from stations.api import StationList

    _, secret = create_api_key(organisation=fleet, name="bench", scopes=[Scope.STATIONS_READ])
    view, factory = StationList.as_view(), APIRequestFactory()

    def call(where: tuple[float, float]) -> Any:
        query: dict[str, Any] = {"near": f"{where[0]},{where[1]}", "min_kw": 30, "available": "true", "limit": WANTED}
        request = factory.get("/api/v1/stations/", query, HTTP_AUTHORIZATION=f"Bearer {secret}")
        return orjson.loads(view(request).content)

    return call


def report(stations: int, exact: int, ours: list[float], floor: list[float], whole: list[float]) -> None:
    def p(values: list[float], percent: int) -> float:
        return statistics.quantiles(values, n=100)[percent - 1]

    print(f"nearest {WANTED} of {stations:,} stations, power and status filter, {len(ours)} queries")
    print(f"  exact against brute force   {exact}/{len(ours)}")
    print(f"  stations.nearest            p50 {p(ours, 50):6.2f} ms   p99 {p(ours, 99):6.2f} ms   goal p50 <= 1.5 ms")
    print(f"  the whole API answer        p50 {p(whole, 50):6.2f} ms   p99 {p(whole, 99):6.2f} ms")
    print(f"  floor: bare SQL             p50 {p(floor, 50):6.2f} ms   p99 {p(floor, 99):6.2f} ms")
    print(f"  ratio nearest / floor       {p(ours, 50) / p(floor, 50):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stations", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=300)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fleetcharge-bench-") as folder:
        os.chmod(folder, 0o755)  # noqa: PTH101 (the engines may run under another uid)
        os.environ |= {"FLEETCHARGE_VAR_DIR": folder, "DJANGO_SETTINGS_MODULE": "fleetcharge.settings"}
        for name in ("DATABASE_URL", "REDIS_URL"):
            os.environ.pop(name, None)
        import django

        from fleetcharge.embedded import provide_engines, release_engines

        provide_engines()
        try:
            django.setup()
            run(options.stations, options.queries)
        finally:
            release_engines()


if __name__ == "__main__":
    main()
