"""Two beats: one fires, and the other only when the first is gone, however it went."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from django.conf import settings as django_settings
from django.db import connection

from fleetcharge.lib import beat
from fleetcharge.lib.beat import LOCK, SingleScheduler
from fleetcharge.lib.db import conninfo

pytestmark = pytest.mark.django_db(transaction=True)

# a beat in a process of its own: says that it fired, and lives until it is killed
OTHER = """
import sys, time
import django
django.setup()
from celery import Celery
from fleetcharge.lib.beat import SingleScheduler
app = Celery("other", broker="memory://", set_as_current=False)
app.conf.beat_schedule = {"often": {"task": "t", "schedule": 0.01}}
class Telling(SingleScheduler):
    def apply_async(self, entry, producer=None, advance=True, **kwargs):
        print("fired", flush=True)
        return super().reserve(entry) if advance else entry
scheduler = Telling(app, schedule_filename=sys.argv[1])
while True:
    scheduler.tick()
    time.sleep(0.02)
"""


class Counting(SingleScheduler):
    fired = 0

    def apply_async(self, entry, producer=None, advance=True, **kwargs):
        self.fired += 1


@pytest.fixture
def make(tmp_path: Path) -> Iterator:
    made: list[Counting] = []

    def make_one(name: str) -> Counting:
        app = Celery(name, broker="memory://", set_as_current=False)
        app.conf.beat_schedule = {"often": {"task": "t", "schedule": 0.0}}
        made.append(Counting(app, schedule_filename=str(tmp_path / name)))
        return made[-1]

    yield make_one
    for scheduler in made:
        scheduler.close()


def rounds(*schedulers: Counting, count: int = 5) -> list[int]:
    """How often each fires while all of them tick."""
    before = [scheduler.fired for scheduler in schedulers]
    for _ in range(count):
        for scheduler in schedulers:
            scheduler.tick()
    return [scheduler.fired - old for scheduler, old in zip(schedulers, before, strict=True)]


def test_only_one_fires_and_the_second_takes_over(make, tmp_path: Path) -> None:
    first, second = make("first"), make("second")
    fires, waits = rounds(first, second)
    assert fires > 0 and waits == 0
    assert list(tmp_path.glob("second*")) == []  # it does not even touch its file
    first.close()
    assert rounds(second)[0] > 0


def test_who_loses_its_connection_stops_firing(make) -> None:
    first, second = make("first"), make("second")
    rounds(first, second)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks l WHERE locktype = 'advisory' AND objid = %s AND granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())", [LOCK],
        )  # fmt: skip
    assert first.tick() == beat.LOOK_EVERY_SECONDS  # it notices before it fires
    took_over, lost = rounds(second, first)
    assert took_over > 0 and lost == 0
    second.close()
    assert rounds(first)[0] > 0  # and fires again when it may


def test_a_killed_process_is_replaced(make, tmp_path: Path) -> None:
    environment = {
        **os.environ, "DJANGO_SETTINGS_MODULE": "fleetcharge.settings", "DATABASE_URL": conninfo(),
        "REDIS_URL": django_settings.REDIS_URL, "FLEETCHARGE_SECRET_KEY": django_settings.SECRET_KEY,
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", OTHER, str(tmp_path / "other")], env=environment, stdout=subprocess.PIPE, text=True,
        cwd=django_settings.BASE_DIR,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == "fired\n"
        mine = make("mine")
        assert rounds(mine) == [0]
        other.send_signal(signal.SIGKILL)
        other.wait()
    while not rounds(mine)[0]:  # until PostgreSQL has seen that the other end is gone
        pass
