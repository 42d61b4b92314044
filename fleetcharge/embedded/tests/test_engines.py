"""The embedded engines: one of each, found by everybody, surviving kill -9, gone when nobody uses them."""

import os
import signal
import stat
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from psycopg.conninfo import conninfo_to_dict
from redis.backoff import NoBackoff
from redis.retry import Retry

from fleetcharge.embedded.identity import NOBODY
from fleetcharge.embedded.tests.conftest import User, processes_naming, wait_for

Start = Callable[..., User]


def postmaster(var: Path) -> int:
    return int((var / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[0])


def answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def test_four_starts_at_once_share_one_engine_of_each_kind(user: Start, var: Path) -> None:
    users = [user() for _ in range(4)]
    assert len({one.answer for one in users}) == 1
    assert processes_naming(f"postgres\0-D\0{var / 'postgres' / 'data'}") == [postmaster(var)]
    with psycopg.connect(users[0].database_url) as connection:
        assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)


def test_engines_outlive_whoever_came_first_and_end_with_the_last(user: Start, var: Path) -> None:
    first = user()
    assert first.answer
    second = user()
    assert second.answer == first.answer
    first.leave()
    time.sleep(1)  # longer than the engines linger
    assert answers(second.database_url)
    second.leave()
    wait_for(lambda: not processes_naming(str(var)))
    assert not (var / "postgres" / "data" / "postmaster.pid").exists()


def test_kill_9_of_postgres_keeps_every_acknowledged_row(kept: User, kept_var: Path) -> None:
    url = kept.database_url
    acknowledged = 0
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE acknowledged (number int)")
        for acknowledged in range(1, 301):
            connection.execute("INSERT INTO acknowledged VALUES (%s)", [acknowledged])
        os.kill(postmaster(kept_var), signal.SIGKILL)
    wait_for(lambda: answers(url))
    assert "postgres: killed by SIGKILL; again in 0.1 s" in (kept_var / "log" / "postgres.log").read_text()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM acknowledged").fetchone() == (acknowledged,)


def test_kill_9_of_valkey_keeps_every_acknowledged_key(kept: User) -> None:
    client = redis.Redis.from_url(kept.redis_url)
    for number in range(300):
        client.set(f"key-{number}", number)
    os.kill(int(client.info("server")["process_id"]), signal.SIGKILL)

    def is_back() -> bool:
        try:
            return bool(client.ping())
        except redis.exceptions.RedisError:
            return False

    wait_for(is_back)
    assert client.dbsize() == 300


def test_a_killed_host_is_replaced_and_the_address_stays(kept: User, kept_var: Path, user: Start) -> None:
    with psycopg.connect(kept.database_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
    os.kill(int((kept_var / "postgres" / "host.lock").read_text()), signal.SIGKILL)
    after = user(kept_var)
    assert after.database_url == kept.database_url
    with psycopg.connect(after.database_url) as connection:
        assert connection.execute("SELECT number FROM kept").fetchone() == (1,)


def test_a_stale_pid_file_that_names_a_stranger_does_not_matter(user: Start, var: Path) -> None:
    first = user()
    assert first.answer
    pid_file = var / "postgres" / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    first.leave()
    wait_for(lambda: not processes_naming(str(var)))
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))
    assert answers(user().database_url)


def test_a_folder_that_a_copy_has_opened_to_others_is_closed_again(user: Start, var: Path) -> None:
    first, data = user(), var / "postgres" / "data"
    assert first.answer
    first.leave()
    wait_for(lambda: not processes_naming(str(var)))
    data.chmod(0o755)
    assert answers(user().database_url)
    assert data.stat().st_mode & 0o777 == 0o700


def test_a_start_that_died_half_way_leaves_nothing_in_the_way(user: Start, var: Path) -> None:
    half = var / "postgres" / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    assert answers(user().database_url)
    assert not half.exists()


def test_a_path_too_long_for_a_socket_is_no_obstacle(user: Start, var: Path) -> None:
    deep = var / ("long" * 15) / ("path" * 15)
    url = user(deep, FLEETCHARGE_THROW_AWAY="1").database_url
    assert answers(url)
    assert len(str(conninfo_to_dict(url)["host"])) < 90


def test_ports_are_low_and_closed_to_those_without_the_password(kept: User, kept_var: Path) -> None:
    port = int(conninfo_to_dict(kept.database_url)["port"])
    redis_port = urlsplit(kept.redis_url).port or 0
    assert 1024 < port < 32768
    assert 1024 < redis_port < 32768
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(host="127.0.0.1", port=port, user="fleetcharge", dbname="fleetcharge")
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis(port=redis_port, retry=Retry(NoBackoff(), 0)).ping()
    for private in ("postgres/settings.json", "valkey/settings.json", "valkey/valkey.conf"):
        assert stat.S_IMODE((kept_var / private).stat().st_mode) == 0o600


def test_data_of_another_major_version_is_refused_and_left_alone(user: Start, var: Path) -> None:
    first = user()
    assert first.answer
    first.leave()
    wait_for(lambda: not processes_naming(str(var)))
    marker = var / "postgres" / "data" / "PG_VERSION"
    marker.write_text("14\n")
    answer = user().answer
    assert answer.startswith("error The data in ")
    assert "was written by PostgreSQL 14" in answer
    assert marker.read_text() == "14\n"


def test_urls_that_are_set_are_left_alone(user: Start, var: Path) -> None:
    one = user(DATABASE_URL="postgresql://db.example/fleet", REDIS_URL="redis://cache.example/0")
    assert one.answer == "postgresql://db.example/fleet redis://cache.example/0"
    assert list(var.iterdir()) == []


def test_only_the_missing_engine_is_started(user: Start, var: Path) -> None:
    one = user(DATABASE_URL="postgresql://db.example/fleet")
    assert redis.Redis.from_url(one.redis_url).ping()
    assert not (var / "postgres").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_from_a_root_shell_postgres_runs_as_nobody(kept: User, kept_var: Path) -> None:
    assert kept.answer
    assert (kept_var / "postgres" / "data").stat().st_uid == NOBODY


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_in_the_checkout_of_a_nameless_user_leaves_nothing_of_its_own(user: Start, var: Path) -> None:
    theirs = var / "theirs"
    theirs.mkdir()
    os.chown(theirs, 12345, 12345)
    one = user(theirs / "var")
    assert answers(one.database_url)
    if (theirs / "var/postgres/data").stat().st_uid == NOBODY:
        pytest.skip("user namespaces are blocked here")
    one.leave()
    wait_for(lambda: not processes_naming(str(var)))
    assert {found.stat().st_uid for found in theirs.rglob("*")} == {12345}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_below_a_private_folder_root_enters_a_user_namespace(user: Start, var: Path) -> None:
    private = var / "private"
    private.mkdir(mode=0o700)
    one = user(private / "var")
    if "user namespaces are blocked" in one.answer:
        pytest.skip("user namespaces are blocked here")
    assert answers(one.database_url)
    assert (private / "var" / "postgres" / "data").stat().st_uid == 0
