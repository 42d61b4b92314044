"""One plan's distances from several engines: pair by pair, in its time, and saying whose they are."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from dispatch import candidates, engines, services
from dispatch.engines import fitted
from dispatch.engines.base import EngineFailed, Line, Matrix, Points
from dispatch.engines.breaker import FAILURES_TO_OPEN, OPEN_SECONDS, Breaker
from dispatch.engines.chain import LIMIT_SECONDS, Asked, Guarded
from dispatch.engines.crow import CrowEngine
from dispatch.engines.osrm import OsrmEngine
from dispatch.models import ChargePlan
from dispatch.tests import factories
from dispatch.tests.factories import NOW
from dispatch.tests.test_routing_servers import osrm_says
from fleetcharge import settings as project

HERE = np.array([[12.97, 77.59], [12.98, 77.60]])
THERE = np.array([[13.0, 77.6], [13.1, 77.6], [13.2, 77.6]])
CROW = CrowEngine().matrix(HERE, THERE)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Road:
    """An engine that knows every pair except some destinations, by latitude; and what it was asked."""

    name: str
    clock: Clock
    version: str = ""
    unknown: tuple[float, ...] = ()
    fails: bool = False
    takes_s: float = 0.0
    asked: list[tuple[int, int]] = field(default_factory=list)
    given_s: list[float] = field(default_factory=list)

    def matrix(self, origins: Points, destinations: Points, *, seconds: float) -> Matrix:
        self.asked.append((len(origins), len(destinations)))
        self._work(seconds)
        table = np.where(np.isin(destinations[:, 0], self.unknown), np.nan, 60.0)
        table = np.repeat(table[None, :], len(origins), axis=0)
        return Matrix(table * 10, table)

    def route(self, origin: tuple[float, float], destination: tuple[float, float], *, seconds: float) -> Line:
        self._work(seconds)
        return [origin, (0.0, 0.0), destination]

    def _work(self, seconds: float) -> None:
        self.given_s.append(seconds)
        self.clock.now += min(self.takes_s, seconds)
        if self.fails or self.takes_s > seconds:
            raise EngineFailed("timeout", "too slow")


@pytest.fixture
def clock() -> Clock:
    return Clock()


def asked(clock: Clock, *roads: Road, seconds: float = LIMIT_SECONDS) -> Asked:
    guarded = [Guarded(road, Breaker(clock)) for road in roads]
    return Asked(guarded, CrowEngine(), seconds=seconds, clock=clock)


def test_pairs_that_one_does_not_know_come_from_the_next(clock):
    first, second = Road("cch", clock, "map 1", unknown=(13.1, 13.2)), Road("osrm", clock, unknown=(13.2,))
    engine = asked(clock, first, second)
    matrix = engine.matrix(HERE, THERE)
    assert matrix.seconds[:, :2].tolist() == [[60, 60]] * 2
    assert matrix.seconds[:, 2].tolist() == CROW.seconds[:, 2].tolist()
    assert matrix.metres[:, 2].tolist() == CROW.metres[:, 2].tolist()
    assert (first.asked, second.asked) == ([(2, 3)], [(2, 2)])
    assert engine.name == "cch map 1 + osrm + crow"


def test_who_was_not_needed_is_not_named(clock):
    second = Road("osrm", clock)
    engine = asked(clock, Road("cch", clock), second)
    engine.matrix(HERE, THERE)
    assert engine.name == "cch"
    assert second.asked == []


def test_without_roads_the_crow_answers_and_is_named(clock):
    engine = asked(clock)
    assert engine.matrix(HERE, THERE).seconds.tolist() == CROW.seconds.tolist()
    assert engine.name == "crow"
    assert engine.route((12.9, 77.5), (13.0, 77.6)) == CrowEngine().route((12.9, 77.5), (13.0, 77.6))


def test_a_pair_that_nobody_knows_stays_unknown(clock):
    matrix = asked(clock, Road("cch", clock, unknown=(51.5,))).matrix(HERE, np.array([[51.5, 0.1], [13.0, 77.6]]))
    assert np.isnan(matrix.seconds).tolist() == [[True, False]] * 2


def test_no_pairs_ask_nobody(clock):
    road = Road("cch", clock)
    assert asked(clock, road).matrix(HERE, THERE[:0]).seconds.shape == (2, 0)
    assert road.asked == []


def test_all_questions_of_a_plan_share_its_time(clock):
    slow, next_one = Road("osrm", clock, takes_s=0.2), Road("valhalla", clock, takes_s=0.2)
    engine = asked(clock, slow, next_one)
    engine.matrix(HERE, THERE)
    engine.matrix(HERE, THERE)
    engine.matrix(HERE, THERE)
    engine.route((12.9, 77.5), (13.0, 77.6))
    assert slow.given_s == [pytest.approx(0.3), pytest.approx(0.1)]
    assert next_one.given_s == []
    assert clock.now == pytest.approx(LIMIT_SECONDS)
    assert engine.name == "osrm + crow"


def test_a_line_comes_from_the_first_that_can_draw_it(clock):
    broken, drawing = Road("cch", clock, fails=True), Road("osrm", clock)
    assert asked(clock, broken, drawing).route((1.0, 2.0), (3.0, 4.0)) == [(1.0, 2.0), (0.0, 0.0), (3.0, 4.0)]


def test_who_fails_several_times_in_a_row_is_left_alone_and_tried_again(clock, caplog):
    road = Road("osrm", clock, fails=True)
    guarded = Guarded(road, Breaker(clock))

    caplog.set_level("INFO", "dispatch.engines")

    def plan() -> str:
        engine = Asked([guarded], CrowEngine(), clock=clock)
        engine.matrix(HERE, THERE)
        return engine.name

    assert [plan() for _ in range(FAILURES_TO_OPEN + 5)] == ["crow"] * (FAILURES_TO_OPEN + 5)
    assert len(road.asked) == FAILURES_TO_OPEN
    told = [record.message for record in caplog.records]
    assert told == ["road engine osrm failed (timeout): too slow"] * FAILURES_TO_OPEN + [
        "road engine osrm is left alone for a while (timeout): too slow"
    ]
    clock.now += OPEN_SECONDS
    assert [plan(), plan()] == ["crow", "crow"]  # one of them was the probe
    assert len(road.asked) == FAILURES_TO_OPEN + 1
    clock.now += OPEN_SECONDS
    road.fails = False
    assert [plan(), plan()] == ["osrm", "osrm"]
    road.fails = True
    assert plan() == "crow"
    road.fails = False
    assert plan() == "osrm"  # one failure alone opens nothing


def test_an_engine_that_knows_of_no_way_has_not_failed(clock):
    road = Road("cch", clock)
    guarded = Guarded(road, Breaker(clock))

    def no_way() -> None:
        raise EngineFailed("no_way", "The road map has no way there.")

    for _ in range(FAILURES_TO_OPEN + 1):
        assert guarded.ask(no_way) is None
    assert asked_of(guarded, clock).name == "cch"


def asked_of(guarded, clock):
    engine = Asked([guarded], CrowEngine(), clock=clock)
    engine.matrix(HERE, THERE)
    return engine


def test_only_one_of_many_threads_probes(clock):
    breaker = Breaker(clock)
    for _ in range(FAILURES_TO_OPEN):
        breaker.failed()
    clock.now += OPEN_SECONDS
    may, together = list[bool](), threading.Barrier(8)

    def ask() -> None:
        together.wait(30)
        may.append(breaker.may_ask())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(may) == [False] * 7 + [True]


# --- a real server that hangs -------------------------------------------------------------------------------------
Talk = Callable[[socket.socket, threading.Event], None]


def nothing(line: socket.socket, ended: threading.Event) -> None:
    ended.wait(120)


def byte_by_byte(line: socket.socket, ended: threading.Event) -> None:
    line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not ended.wait(0.01):
        line.sendall(b" ")


@contextlib.contextmanager
def server(talk: Talk) -> Iterator[tuple[str, list[socket.socket], threading.Event]]:
    """Its address, who called, and what ends its silence."""
    ended, lines = threading.Event(), list[socket.socket]()

    def serve(line: socket.socket) -> None:
        with contextlib.suppress(OSError), line:
            line.recv(65_536)
            talk(line, ended)

    def listen() -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = door.accept()
                lines.append(line)
                threading.Thread(target=serve, args=(line,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as door:
        threading.Thread(target=listen, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{door.getsockname()[1]}", lines, ended
        finally:
            ended.set()
            door.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("talk", [nothing, byte_by_byte])
def test_a_server_that_hangs_is_not_waited_for(talk):
    with server(talk) as (url, lines, ended):
        road = Guarded(OsrmEngine(url))
        for _ in range(FAILURES_TO_OPEN + 2):
            engine = Asked([road], CrowEngine())
            assert engine.matrix(HERE, THERE).seconds.tolist() == CROW.seconds.tolist()
            assert engine.name == "crow"
        assert not ended.is_set()  # it had not answered yet
        assert not road.breaker.may_ask()
        assert len(lines) <= FAILURES_TO_OPEN


def test_a_server_that_answers_is_believed():
    def well(line: socket.socket, ended: threading.Event) -> None:
        metres = [[1_500, 1_600, 24_000], [1_500, 14_000, 24_500]]
        says = json.dumps(osrm_says(metres, [[100, 110, 1200]] * 2))
        head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(says)}\r\n\r\n"
        line.sendall(head.encode() + says.encode())

    with server(well) as (url, _, _):
        engine = Asked([Guarded(OsrmEngine(url))], CrowEngine(), seconds=30)
        matrix = engine.matrix(HERE, THERE)
    assert matrix.metres[1].tolist() == [1_500, 14_000, 24_500]
    assert matrix.seconds[0, 1] == CROW.seconds[0, 1]  # 14 km in 1.6 is no way from there
    assert engine.name == "osrm + crow"


@pytest.mark.django_db
def test_a_plan_is_made_while_the_routing_server_hangs(organisation, settings):
    candidates.sites.forget()
    candidates.sites._checked_at = float("-inf")
    plug = factories.connector(factories.location(factories.public_network(organisation)))
    vehicle = factories.vehicle(organisation)
    with server(nothing) as (url, _, ended):
        settings.ROAD_ENGINES, settings.OSRM_URL = ["cch", "valhalla", "osrm"], url
        plan = services.plan_charge_stop(vehicle_id=vehicle.pk, trigger="soc_low", trigger_key="soc:1", now=NOW)
        assert not ended.is_set()
    assert (plan.connector, plan.engine) == (plug, "crow")


def test_only_servers_with_an_address_are_asked(settings, tmp_path):
    settings.ROAD_ENGINES, settings.ROADS_DIR = ["osrm", "cch", "valhalla"], tmp_path
    assert fitted.roads() == []
    settings.VALHALLA_URL, settings.OSRM_URL = "http://127.0.0.1:8002", "http://127.0.0.1:5000"
    assert [road.engine.name for road in fitted.roads()] == ["osrm", "valhalla"]
    assert fitted.roads()[0] is fitted.roads()[0]  # one breaker for all plans
    assert engines.current().name == "crow"


def test_whose_distances_fits_into_a_plan(clock):
    engine = asked(clock, Road("cch", clock, "1" * 90, unknown=(13.1,)), Road("osrm", clock, "2" * 90))
    engine.matrix(HERE, THERE)
    assert len(engine.name) == ChargePlan._meta.get_field("engine").max_length


@pytest.mark.parametrize(
    "url", ["10.0.0.5:8002", "ftp://10.0.0.5", "http://", "http://a b/", "http://a/?x=1", "javascript:1"]
)
def test_an_address_that_could_never_be_asked_stops_the_start(monkeypatch, url):
    monkeypatch.setenv("FLEETCHARGE_OSRM_URL", url)
    with pytest.raises(ValueError, match="FLEETCHARGE_OSRM_URL is no address"):
        project._server("FLEETCHARGE_OSRM_URL")


def test_an_engine_that_nobody_knows_stops_the_start(monkeypatch):
    monkeypatch.setenv("FLEETCHARGE_ROAD_ENGINES", "osrm, graphhopper")
    with pytest.raises(ValueError, match="graphhopper"):
        project._chosen("FLEETCHARGE_ROAD_ENGINES", "cch,valhalla,osrm")
    monkeypatch.setenv("FLEETCHARGE_ROAD_ENGINES", "osrm, cch")
    assert project._chosen("FLEETCHARGE_ROAD_ENGINES", "cch,valhalla,osrm") == ["osrm", "cch"]
