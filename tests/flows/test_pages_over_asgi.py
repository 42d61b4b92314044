"""Pages served by the realtime process give their database connection back."""

import httpx
import pytest
from django.db import connection

from stations.tests.serving import serve
from tests.running import wait_for


def others() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return int(cursor.fetchone()[0])


@pytest.mark.django_db(transaction=True)
def test_requests_leave_no_connection_behind() -> None:
    from fleetcharge.asgi import application

    before = others()  # of threads that other tests left asleep
    with serve(application) as base:
        for _ in range(5):
            assert httpx.get(f"{base}/healthz/").status_code == 200
        wait_for("the connections to be closed", lambda: others() <= before)
