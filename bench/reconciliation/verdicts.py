"""Sessions judged in a second by one worker, beside the bare reading of the same windows of pings."""

from collections import Counter
from datetime import datetime

from django.db import connection

from bench.reconciliation import fleet, stories
from bench.reconciliation.clock import spent
from billing.models import ChargingSession, ReconciliationVerdict
from billing.reconciliation import rerunning, working

GOAL = 300
_FLOOR = """
SELECT count(*), min(p.latitude_e7), max(p.latitude_e7), min(p.longitude_e7), max(p.longitude_e7), max(p.speed_dkmh),
       max(p.accuracy_m), max(p.soc_permille), max(p.flags)
FROM billing_chargingsession s JOIN LATERAL (
    SELECT * FROM vehicles_position p WHERE p.vehicle_id = s.vehicle_id
       AND p.fix_at BETWEEN s.started_at - interval '30 minutes' AND s.ended_at + interval '40 minutes'
    ORDER BY p.fix_at) p ON true
WHERE s.id = ANY(%s) GROUP BY s.id
"""


def run(*, pings: int, sessions: int) -> None:
    with spent() as building:
        now = fleet.build(pings=pings, sessions=sessions)
    ids = list(ChargingSession.objects.order_by("ended_at").values_list("pk", flat=True))
    print(f"{pings:,} pings and {len(ids):,} sessions loaded in {building}")
    with spent() as floor:
        read = _read(ids)
    with spent() as ours:
        judged = _judge(now)
    for name, count, time in (("bare windows", len(ids), floor), ("judged and stored", judged, ours)):
        print(f"{name}: {count / time.wall:,.0f} sessions/s, {count / time.cpu:,.0f} per CPU second ({time})")
    print(
        f"ratio to the floor {floor.cpu / ours.cpu:.2f}; {read / len(ids):,.0f} pings a session; goal {GOAL} sessions/s"
    )
    found = dict(ReconciliationVerdict.objects.values_list("session__transaction_ref", "verdict"))
    told = {key: stories.of(*map(int, key.split("-"))) for key in found}
    print("verdicts:", dict(Counter(found.values())))
    print("\n".join(stories.confusion(found, told)))
    with spent() as again:
        same = sum(each.is_same for each in rerunning.rerun_all())
    print(f"from stored evidence again: {same:,} of {judged:,} the same, {judged / again.wall:,.0f}/s")


def _read(ids: list[int]) -> int:
    total = 0
    with connection.cursor() as cursor:
        for first in range(0, len(ids), working.CHUNK):
            cursor.execute(_FLOOR, [ids[first : first + working.CHUNK]])
            total += sum(row[0] for row in cursor.fetchall())
    return total


def _judge(now: datetime) -> int:
    total = 0
    while done := working.judge_waiting(now=now):
        total += done
    return total
