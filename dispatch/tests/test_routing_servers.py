"""Valhalla and OSRM over HTTP, as they document their answers, and as nobody should answer."""

import json
import threading
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from dispatch.engines import calls
from dispatch.engines.base import EngineFailed
from dispatch.engines.osrm import OsrmEngine
from dispatch.engines.valhalla import ValhallaEngine, decoded

HERE = np.array([[12.9716, 77.5946]])
THERE = np.array([[12.98, 77.60], [12.99, 77.61], [13.0, 77.62]])
METRES, SECONDS = [[1500.0, 3100.0, 4800.5]], [[240.0, 500.0, 811.5]]
Rows = list[list[float | None]]
Reply = Callable[[httpx.Request], httpx.Response]


def valhalla_says(metres: Rows, seconds: Rows) -> dict[str, Any]:
    """https://valhalla.github.io/valhalla/api/matrix/#outputs-of-the-matrix-service"""
    rows = [
        [
            {"distance": None if way is None else way / 1000, "time": took, "from_index": a, "to_index": b}
            for b, (way, took) in enumerate(zip(ways, times, strict=True))
        ]
        for a, (ways, times) in enumerate(zip(metres, seconds, strict=True))
    ]
    return {"sources_to_targets": rows, "units": "kilometers", "algorithm": "costmatrix"}


def osrm_says(metres: Rows, seconds: Rows) -> dict[str, Any]:
    """https://project-osrm.org/docs/v5.24.0/api/#table-service"""
    return {"code": "Ok", "distances": metres, "durations": seconds, "sources": [], "destinations": []}


KINDS = {
    "valhalla": (ValhallaEngine, valhalla_says, {"error_code": 442, "error": "No path could be found for input"}),
    "osrm": (OsrmEngine, osrm_says, {"code": "NoSegment", "message": "Could not find a matching segment"}),
}


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


def engine(kind: str, reply: Reply) -> Any:
    return KINDS[kind][0]("http://roads.test:8002/", httpx.MockTransport(reply))


def fixed(status: int = 200, **content: Any) -> Reply:
    return lambda request: httpx.Response(status, **content)


def sizes(request: httpx.Request) -> tuple[int, int]:
    """How many rows and columns were asked for."""
    if request.method == "POST":
        body = json.loads(request.content)
        return len(body["sources"]), len(body["targets"])
    return tuple(len(request.url.params[name].split(";")) for name in ("sources", "destinations"))  # type: ignore[return-value]


def longitudes(request: httpx.Request) -> tuple[list[float], list[float]]:
    """Of rows and columns."""
    if request.method == "POST":
        body = json.loads(request.content)
        return tuple([place["lon"] for place in body[name]] for name in ("sources", "targets"))  # type: ignore[return-value]
    places = [float(place.split(",")[0]) for place in request.url.path.rsplit("/", 1)[1].split(";")]
    rows, _ = sizes(request)
    return places[:rows], places[rows:]


def test_a_table_becomes_metres_and_seconds(kind):
    matrix = engine(kind, fixed(json=KINDS[kind][1](METRES, SECONDS))).matrix(HERE, THERE, seconds=5)
    assert matrix.metres.tolist() == METRES
    assert matrix.seconds.tolist() == SECONDS


def test_valhalla_is_asked_as_it_documents():
    asked = []

    def reply(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, str(request.url), json.loads(request.content or b"null")))
        return httpx.Response(200, json=valhalla_says(METRES, SECONDS))

    engine("valhalla", reply).matrix(HERE, THERE, seconds=5)
    body = {
        "sources": [{"lat": 12.9716, "lon": 77.5946}],
        "targets": [{"lat": 12.98, "lon": 77.6}, {"lat": 12.99, "lon": 77.61}, {"lat": 13.0, "lon": 77.62}],
        "costing": "auto", "units": "kilometers",
    }  # fmt: skip
    assert asked[0] == ("POST", "http://roads.test:8002/sources_to_targets", body)


def test_osrm_is_asked_as_it_documents():
    asked = []

    def reply(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, json=osrm_says(METRES, SECONDS))

    engine("osrm", reply).matrix(HERE, THERE, seconds=5)
    places = "77.594600,12.971600;77.600000,12.980000;77.610000,12.990000;77.620000,13.000000"
    assert asked == [
        f"http://roads.test:8002/table/v1/driving/{places}?sources=0&destinations=1;2;3&annotations=duration,distance"
    ]


def test_the_short_form_of_valhalla_is_read_too():
    short = {"sources_to_targets": {"distances": [[1.5, None, 4.8]], "durations": [[240, None, 811]]}}
    matrix = engine("valhalla", fixed(json=short)).matrix(HERE, THERE, seconds=5)
    assert matrix.metres.tolist() == [[1500.0, pytest.approx(np.nan, nan_ok=True), 4800.0]]


def test_a_pair_without_a_way_is_not_known_and_the_others_are(kind):
    says = KINDS[kind][1]([[1500.0, None, 4800.5]], [[240.0, None, 811.5]])
    matrix = engine(kind, fixed(json=says)).matrix(HERE, THERE, seconds=5)
    assert np.isnan(matrix.seconds).tolist() == [[False, True, False]]
    assert np.isnan(matrix.metres).tolist() == [[False, True, False]]


def test_a_server_that_refuses_all_for_one_pair_is_asked_for_the_others(kind):
    """Place 77.62 is on no road; servers say 400 to whatever contains it."""
    _, says, refusal = KINDS[kind]

    def reply(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/status":
            return httpx.Response(404)
        rows, columns = longitudes(request)
        if 77.62 in columns:
            return httpx.Response(400, json=refusal)
        table = [[1000.0 * (column - 77) for column in columns] for _ in rows]
        return httpx.Response(200, json=says([[9_000.0 + way for way in row] for row in table], table))

    targets = np.array([[12.98, 77.60 + number / 100] for number in range(9)])
    matrix = engine(kind, reply).matrix(np.vstack([HERE, HERE]), targets, seconds=30)
    assert np.isnan(matrix.seconds).tolist() == [[number == 2 for number in range(9)]] * 2
    assert matrix.seconds[1, 8] == pytest.approx(680.0)


def test_many_places_are_asked_for_in_blocks(kind):
    asked = []

    def reply(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/status":
            return httpx.Response(404)
        asked.append(sizes(request))
        rows, columns = longitudes(request)
        table: Rows = [[20_000 + 1000 * (a + b - 154) for b in columns] for a in rows]
        return httpx.Response(200, json=KINDS[kind][1](table, table))

    starts = np.array([[12.97, 77.5 + number / 1000] for number in range(60)])
    goals = np.array([[12.98, 77.6 + number / 1000] for number in range(120)])
    matrix = engine(kind, reply).matrix(starts, goals, seconds=30)
    assert asked == [(50, 50), (50, 50), (50, 20), (10, 50), (10, 50), (10, 20)]
    assert matrix.metres[59, 119] == pytest.approx(20_000 + 1000 * (77.559 + 77.719 - 154))


def test_what_is_no_place_is_not_asked_for(kind):
    says = KINDS[kind][1]([[1500.0]], [[240.0]])
    places = np.array([[12.98, 77.60], [np.nan, 77.6], [91.0, 77.6]])
    matrix = engine(kind, fixed(json=says)).matrix(HERE, places, seconds=5)
    assert np.isnan(matrix.seconds).tolist() == [[False, True, True]]


def test_a_way_measured_from_somewhere_else_is_not_known(kind):
    """A server snaps a place off its map to the nearest road it has, be it in another state."""
    says = KINDS[kind][1]([[1500.0, 3100.0, 4800.5]], [[240.0, 500.0, 811.5]])
    far = np.array([[12.98, 77.60], [17.38, 78.48], [13.0, 77.62]])
    matrix = engine(kind, fixed(json=says)).matrix(HERE, far, seconds=5)
    assert np.isnan(matrix.seconds).tolist() == [[False, True, False]]


TABLES: dict[str, tuple[Any, Any, str]] = {
    "a row is missing": ([], [], "wrong_shape"),
    "a row too many": (METRES * 2, SECONDS * 2, "wrong_shape"),
    "a short row": ([[1.0, 2.0]], [[1.0, 2.0]], "wrong_shape"),
    "negative": ([[-1.0, 2.0, 3.0]], SECONDS, "bad_number"),
    "negative time": (METRES, [[-1.0, 2.0, 3.0]], "bad_number"),
    "huge": ([[1e300, 2.0, 3.0]], SECONDS, "bad_number"),
    "endless": (METRES, [[1e7, 2.0, 3.0]], "bad_number"),
    "true": (METRES, [[True, 2.0, 3.0]], "wrong_shape"),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_hostile_table_is_a_named_failure(kind, name):
    metres, seconds, code = TABLES[name]
    with pytest.raises(EngineFailed) as failure:
        engine(kind, fixed(json=KINDS[kind][1](metres, seconds))).matrix(HERE, THERE, seconds=5)
    assert failure.value.code == code


BODIES: dict[str, tuple[int, bytes, str]] = {
    "a page": (200, b"<html><h1>Welcome</h1></html>", "not_json"),
    "a page of a proxy": (502, b"<html>Bad gateway</html>", "status_502"),
    "nothing": (200, b"", "not_json"),
    "NaN": (200, b'{"code": "Ok", "durations": [[NaN, 1, 1]], "sources_to_targets": [[NaN]]}', "not_json"),
    "digits": (
        200,
        b'{"code": "Ok", "distances": [[1' + b"0" * 400 + b', 1, 1]], "durations": [[1, 1, 1]],'
        b'"sources_to_targets": [[{"distance": 1' + b"0" * 400 + b', "time": 1},{"distance": 1, "time": 1},'
        b'{"distance": 1, "time": 1}]]}',
        "not_json",
    ),
    "too deep": (200, b"[" * 100_000, "not_json"),
    "cut off": (200, b'{"code": "Ok", "durations": [[1, 2', "not_json"),
    "elsewhere": (302, b"", "status_302"),
    "an error": (500, b'{"error": "broken"}', "status_500"),
    "no such thing": (400, b'{"error_code": 106, "code": "InvalidUrl"}', "status_400"),
    "busy": (429, b'{"error_code": 999, "code": "TooMany"}', "status_429"),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_answer_is_a_named_failure(kind, name):
    status, content, code = BODIES[name]
    with pytest.raises(EngineFailed) as failure:
        engine(kind, fixed(status, content=content)).matrix(HERE, THERE, seconds=5)
    assert failure.value.code == code


@pytest.mark.parametrize("content", [b"{}", b"[]", b"null", b"7", b'"x"', b'{"code": "Ok"}',
                                     b'{"code": "Ok", "distances": {}, "durations": 3, "sources_to_targets": 3}',
                                     b'{"code": "Ok", "distances": [["1", true, {}]], "durations": [[1, 2, 3]],'
                                     b' "sources_to_targets": [[{"distance": "1", "time": 1}, {}, []]]}'])  # fmt: skip
def test_json_of_another_shape_is_a_named_failure(kind, content):
    with pytest.raises(EngineFailed) as failure:
        engine(kind, fixed(content=content)).matrix(HERE, THERE, seconds=5)
    assert failure.value.code in {"wrong_shape", "status_200"}


def test_an_endless_answer_is_cut_off(kind):
    def endless():
        while True:
            sent.append(1)
            yield b" " * 65_536

    sent: list[int] = []
    with pytest.raises(EngineFailed) as failure:
        engine(kind, lambda request: httpx.Response(200, content=endless())).matrix(HERE, THERE, seconds=30)
    assert failure.value.code == "too_large"
    assert len(sent) * 65_536 <= calls.MOST_BYTES + 2 * 65_536


def test_a_server_that_is_not_there_is_a_named_failure(kind):
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Connection refused")

    with pytest.raises(EngineFailed) as failure:
        engine(kind, refuse).matrix(HERE, THERE, seconds=5)
    assert failure.value.code == "unreachable"


def test_nobody_waits_longer_than_the_time_given(kind):
    may_answer = threading.Event()

    def reply(request: httpx.Request) -> httpx.Response:
        may_answer.wait(60)
        return httpx.Response(200, json=KINDS[kind][1](METRES, SECONDS))

    try:
        with pytest.raises(EngineFailed) as failure:
            engine(kind, reply).matrix(HERE, THERE, seconds=0.05)
        assert failure.value.code == "timeout"
        assert not may_answer.is_set()
    finally:
        may_answer.set()


def test_what_was_answered_before_the_time_was_over_is_kept(kind):
    asked = []

    def reply(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/status":
            return httpx.Response(404)
        asked.append(request)
        if len(asked) > 1:
            raise httpx.ReadTimeout("too slow")
        rows, columns = sizes(request)
        return httpx.Response(200, json=KINDS[kind][1]([[9e3] * columns] * rows, [[9e2] * columns] * rows))

    goals = np.array([[12.98, 77.6 + number / 10_000] for number in range(60)])
    matrix = engine(kind, reply).matrix(HERE, goals, seconds=30)
    assert np.isnan(matrix.seconds[0]).tolist() == [number >= 50 for number in range(60)]


# --- lines to draw ------------------------------------------------------------------------------------------------
ENCODED = "_izlhA~rlgdF_{geC~ywl@_kwzCn`{nI"
"""(38.5, -120.2), (40.7, -120.95), (43.252, -126.453) with six digits."""
GEOJSON = [[-120.2, 38.5], [-120.95, 40.7], [-126.453, 43.252]]
GOOD_LINES = {
    "valhalla": {"trip": {"legs": [{"shape": ENCODED}]}},
    "osrm": {"code": "Ok", "routes": [{"geometry": {"coordinates": GEOJSON}}]},
}


def test_a_line_runs_along_the_roads_between_its_ends(kind):
    line = engine(kind, fixed(json=GOOD_LINES[kind])).route((38.4, -120.1), (43.3, -126.5), seconds=5)
    assert line == [(38.4, -120.1), (38.5, -120.2), (40.7, -120.95), (43.252, -126.453), (43.3, -126.5)]


def test_six_digits_are_decoded():
    assert decoded(ENCODED)[2] == (pytest.approx(43.252), pytest.approx(-126.453))


@pytest.mark.parametrize("shape", [None, 7, "", "a", "\x00\x01", "é" * 9, "~" * 50, "_" * 100_000, "}}}}}}}}}}}}"])
def test_a_broken_line_is_a_named_failure(kind, shape):
    says = {"trip": {"legs": [{"shape": shape}]}, "code": "Ok", "routes": [{"geometry": {"coordinates": shape}}]}
    with pytest.raises(EngineFailed):
        engine(kind, fixed(json=says)).route((12.9, 77.5), (13.0, 77.6), seconds=5)


@pytest.mark.parametrize(
    "answer",
    [
        {}, [], None,
        {"trip": {"legs": []}, "code": "Ok", "routes": []},
        {"code": "Ok", "routes": [{"geometry": {"coordinates": [[1], [2, 3]]}}]},
        {"code": "Ok", "routes": [{"geometry": {"coordinates": [[999, 1], [2, 3]]}}]},
    ],
)  # fmt: skip
def test_an_answer_without_a_line_is_a_named_failure(kind, answer):
    with pytest.raises(EngineFailed):
        engine(kind, fixed(json=answer)).route((12.9, 77.5), (13.0, 77.6), seconds=5)


# --- versions -----------------------------------------------------------------------------------------------------
def test_the_version_of_osrms_data_is_known_from_its_answers():
    osrm = engine("osrm", fixed(json=osrm_says(METRES, SECONDS) | {"data_version": "2026-11-01"}))
    osrm.matrix(HERE, THERE, seconds=5)
    assert osrm.version == "2026-11-01"


def test_the_version_of_valhalla_and_its_tiles_is_asked_for_aside():
    told = threading.Event()

    def reply(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/status":
            return httpx.Response(200, json={"version": "3.5.1", "tileset_last_modified": 1_790_000_000})
        return httpx.Response(200, json=valhalla_says(METRES, SECONDS))

    valhalla = engine("valhalla", reply)
    note = valhalla._note_version
    valhalla._note_version = lambda status: (note(status), told.set())
    valhalla.matrix(HERE, THERE, seconds=5)
    assert told.wait(30)
    assert valhalla.version == "3.5.1 tiles 2026-09-21"


@pytest.mark.parametrize(
    ("said", "kept"),
    [("2026-11-01T20:00:00Z", "2026-11-01T20:00:00Z"), ("<b>\x00 1\n2</b>", "b12b"), ("9" * 999, "9" * 20)],
)
def test_a_strange_version_is_kept_only_as_far_as_it_is_plain(said, kept):
    osrm = engine("osrm", fixed(json=osrm_says(METRES, SECONDS) | {"data_version": said}))
    osrm.matrix(HERE, THERE, seconds=5)
    assert osrm.version == kept


@pytest.mark.parametrize("said", [None, 7, [], {}, {"version": 3}, {"version": "3", "tileset_last_modified": 10**18}])
def test_a_strange_status_of_valhalla_changes_nothing(said):
    told = threading.Event()

    def reply(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/status":
            told.set()
            return httpx.Response(200, json=said)
        return httpx.Response(200, json=valhalla_says(METRES, SECONDS))

    valhalla = engine("valhalla", reply)
    assert valhalla.matrix(HERE, THERE, seconds=5).metres.tolist() == METRES
    assert told.wait(30)
    valhalla._caller._threads.shutdown(wait=True)
    assert valhalla.version == ""
