"""A vendor's JSON, read by what people wrote: every path, every word, and what is refused by name."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetcharge.demo.peers import vendor
from stations.cpo.webhooks import presets
from stations.cpo.webhooks.mapping import FeedMapping
from stations.cpo.webhooks.paging import PollPlan
from stations.cpo.webhooks.paths import BadMapping, Look, compiled
from stations.cpo.webhooks.sites import BadEntry, price_of
from stations.cpo.webhooks.styles import read_ocpi

LOOK = Look(
    part={"uid": 7, "site": {"code": "S1", "tags": ["a", "b"]}, "empty": None, "zero": 0},
    root={"sent": 5, "rows": [{"x": 1}]},
    path=("IN", "VGR"),
    entry={"id": "whole"},
)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("uid", 7),
        ("site.code", "S1"),
        ("site.tags.1", "b"),
        ("site.tags.2", None),
        ("site.tags.x", None),
        ("uid.code", None),
        ("$.sent", 5),
        ("$.rows.0.x", 1),
        ("@path.0", "IN"),
        ("@path.7", None),
        ("@entry.id", "whole"),
        ("=DC", "DC"),
        ("empty|uid", 7),
        ("zero|uid", 0),
        ("nothing|=x|uid", 7),
        ("{site.code}-{uid}", "S1-7"),
        ("{site.code}-{nothing}|uid", 7),
        ("", LOOK.part),
    ],
)
def test_paths(path: str, value: Any) -> None:
    assert compiled(path, "x")(LOOK) == value


@pytest.mark.parametrize("path", [7, None, "a..b", ".a", "@header.x", "{a", "a}", "x" * 301, ["a"]])
def test_a_path_that_cannot_be_meant_is_refused(path: Any) -> None:
    with pytest.raises(BadMapping):
        compiled(path, "x")(LOOK)


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ([], "JSON object"),
        ({}, "Say where evse and status stand"),
        ({"evse": "a"}, "Say where"),
        ({"evse": "a", "status": "b", "colour": "c"}, "colour is nothing"),
        ({"evse": "a", "status": "b", "words": {"x": "broken"}}, "broken is none of"),
        ({"evse": "a", "status": "b", "words": []}, "words"),
        ({"evse": "a", "status": "b", "only": {"x": "y"}}, "list of values"),
        ({"evse": "a", "status": 5}, "status is a path"),
        ({"location": {"id": "a"}}, "latitude and longitude"),
        ({"location": {"id": "a", "latitude": "b", "longitude": "c", "plugs": {"x": "usb"}}}, "usb is none of"),
        ({"location": {"id": "a", "latitude": "b", "longitude": "c", "evse": {"kind": "x"}}}, "evse.kind"),
        ({"location": {"id": "a", "latitude": "b", "longitude": "c", "evse": {"connector": 7}}}, "connector is"),
    ],
)
def test_a_mapping_that_cannot_work_says_where(raw: Any, problem: str) -> None:
    with pytest.raises(BadMapping, match=problem):
        FeedMapping.parse(raw)


@pytest.mark.parametrize("preset", [presets.MONTA, presets.OICP, presets.PLAIN, vendor.MAPPING, vendor.POLL_MAPPING])
def test_what_we_offer_can_be_used(preset: Any) -> None:
    FeedMapping.parse(preset)


@pytest.mark.parametrize(
    ("said", "shown", "is_understood"),
    [
        ("Available", "available", True),
        ("OUTOFORDER", "faulted", True),
        ("SuspendedEV", "occupied", True),
        ("in use", "charging", True),
        (" FREE ", "available", True),
        (3, "reserved", True),
        (True, "available", True),
        ("blau", "unknown", False),
    ],
)
def test_words(said: Any, shown: str, is_understood: bool) -> None:
    mapping = FeedMapping.parse({"evse": "e", "status": "s", "words": {"3": "reserved", "True": "available"}})
    (entry,) = mapping.read({"e": "E1", "s": said}).entries
    assert entry.status is not None
    assert (entry.status.status, entry.status.is_understood) == (shown, is_understood)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"e": None, "s": "free"}, "no_evse"),
        ({"e": {}, "s": "free"}, "no_evse"),
        ({"e": True, "s": "free"}, "no_evse"),
        ({"e": "x" * 49, "s": "free"}, "bad_id"),
        ({"e": "E", "s": {}}, "no_status"),
        ({"e": "E", "s": ""}, "no_status"),
        ({"e": "E", "s": "free", "t": "later"}, "bad_time"),
        ({"e": "E", "s": "free", "t": -5}, "bad_time"),
        ({"e": "E", "s": "free", "t": True}, "bad_time"),
        ({"e": "E", "s": "free", "t": [1]}, "bad_time"),
        ({"e": "E", "s": "free", "t": 1e300}, "bad_time"),
        ("text", "no_evse"),
        (None, "no_evse"),
        ([], "no_evse"),
    ],
)
def test_an_entry_that_cannot_be_read_is_named_and_stops_no_other(values: Any, code: str) -> None:
    mapping = FeedMapping.parse({"evse": "e", "status": "s", "at": "t"})
    bad, good = mapping.read([values, {"e": 5, "s": "free", "t": 1795255200000}]).entries
    assert bad.code == code
    assert good.status is not None
    assert (good.status.evse, good.status.at) == ("5", datetime(2026, 11, 21, 10, tzinfo=UTC))


def site(**changes: Any) -> dict[str, Any]:
    plug = {
        "code": "K-1",
        "bay": 1,
        "type": "CCS-2",
        "kw": "60 kW",
        "rate": "Rs 19.5/kWh",
        "state": "free",
        "since": "2026-11-21T15:30:00+05:30",
    }
    where = {"lat": "12.97", "lng": "77.59", "street": "MG Road", "town": "Bengaluru", "pin": 560001}
    return {
        "code": "K",
        "title": "Domlur",
        "where": {**where, **changes.pop("where", {})},
        "plugs": [{**plug, **changes.pop("plug", {})}],
        **changes,
    }


def read_site(raw: Any) -> Any:
    (entry,) = FeedMapping.parse(vendor.POLL_MAPPING).read({"stations": [raw]}).entries
    return entry


def test_a_site_with_its_plugs() -> None:
    doc = read_site(site()).site
    (evse,) = doc.evses
    (plug,) = evse.connectors
    assert (doc.external_key, doc.name, doc.city, doc.postal_code) == ("K", "Kaveri Domlur", "Bengaluru", "560001")
    assert (evse.uid, evse.raw_status, evse.status, evse.physical_reference) == ("K-1", "free", "available", "1")
    assert evse.updated_at == datetime(2026, 11, 21, 10, tzinfo=UTC)
    assert (plug.plug, plug.raw_plug, plug.max_power_w, plug.power_type) == ("ccs2", "CCS-2", 60_000, "DC")
    assert plug.tariff_ids == ("kwh-19.50",)


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"where": {"lat": "77.59", "lng": "12.97"}}, {"latitude": 12.97, "longitude": 77.59}),
        ({"title": None}, {"name": "MG Road"}),
        ({"plugs": None}, {"evses": ()}),
    ],
)
def test_sites_are_put_right_where_they_can_be(changes: Any, facts: dict[str, Any]) -> None:
    doc = read_site(site(**changes)).site
    assert {name: getattr(doc, name) for name in facts} == facts


@pytest.mark.parametrize(
    ("changes", "plug", "power_w", "power_type"),
    [
        ({"type": "Type-2", "kw": 7.4}, "type2_socket", 7_400, "AC_1_PHASE"),
        ({"type": "Type-2", "kw": 22}, "type2_socket", 22_000, "AC_3_PHASE"),
        ({"type": "CHAdeMO", "kw": None}, "chademo", 50_000, "DC"),
        ({"type": "LEVDC", "kw": ""}, "is17017_2_6", 12_000, "DC"),
        ({"type": "IEC_62196_T2_COMBO"}, "ccs2", 60_000, "DC"),
        ({"type": "Steckdose", "kw": 0}, "unknown", 0, "DC"),
    ],
)
def test_plugs_and_powers(changes: Any, plug: str, power_w: int, power_type: str) -> None:
    (connector,) = read_site(site(plug=changes)).site.evses[0].connectors
    assert (connector.plug, connector.max_power_w, connector.power_type) == (plug, power_w, power_type)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"where": {"lat": "north"}}, "no_position"),
        ({"where": {"lat": 0, "lng": 0}}, "no_position"),
        ({"where": {"lat": 120, "lng": 7}}, "no_position"),
        ({"code": None}, "no_site"),
        ({"plug": {"kw": -5}}, "bad_power"),
        ({"plug": {"kw": "much"}}, "bad_power"),
        ({"plug": {"kw": 99_999}}, "bad_power"),
        ({"changed": "x"}, "bad_time"),
        ({"plugs": [{}] * 501}, "too_many_evses"),
        ({"plug": {"kw": "nan"}}, "bad_power"),
    ],
)
def test_a_site_that_cannot_be_used_is_named(changes: Any, code: str) -> None:
    assert read_site(site(**changes)).code == code


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("Rs 20.5/kWh", "20.50"),
        ("Rs.22/-", "22.00"),
        (19.5, "19.50"),
        ("19.5/kwh", "19.50"),
        (0, ""),
        ("free", ""),
        ("1,200", ""),
        (None, ""),
        (True, ""),
    ],
)
def test_prices(text: Any, price: str) -> None:
    assert price_of(text) == price


def test_conditions_are_about_the_entry_or_the_whole_push() -> None:
    mapping = FeedMapping.parse(presets.OICP)
    full = mapping.read({"ActionType": "FULLLOAD", "EvseStatusRecord": [{"EvseID": "A", "EvseStatus": "Available"}]})
    assert full.is_complete
    gone = mapping.read({"ActionType": "delete", "EvseStatusRecord": {"EvseID": "A", "EvseStatus": "Available"}})
    assert not gone.is_complete
    assert gone.entries[0].status is not None
    assert gone.entries[0].status.raw_status == "REMOVED"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "entries",
                    "stations",
                    "code",
                    "where",
                    "lat",
                    "lng",
                    "plugs",
                    "kw",
                    "state",
                    "since",
                    "events",
                    "plug",
                    "uid",
                    "status",
                    "evses",
                    "coordinates",
                    "last_updated",
                    "latitude",
                    "longitude",
                    "rate",
                    "type",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(body=JSON)
def test_whatever_comes_is_read_or_refused_by_name(body: Any) -> None:
    for mapping in (vendor.MAPPING, vendor.POLL_MAPPING, presets.MONTA, presets.OICP, presets.PLAIN):
        try:
            reading = FeedMapping.parse(mapping).read(body, ("IN", "V"))
        except BadEntry as error:
            assert error.code in {"no_entries", "too_many_entries", "bad_id", "bad_time"}
            continue
        assert all(entry.status or entry.site or entry.code for entry in reading.entries)
    for entry in read_ocpi(body, ("IN", "V", "L", "E")).entries:
        assert entry.status or entry.site or entry.code


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ([], "object with"),
        ({}, "first page"),
        ({"url": "ftp://x"}, "first page"),
        ({"url": "https://x", "size": 0}, "size"),
        ({"url": "https://x", "size": True}, "size"),
        ({"url": "https://x", "next": "$.a", "page": "p"}, "one of"),
        ({"url": "https://x", "pages": 7}, "object with"),
        ({"url": "https://x", "headers": {"a": []}}, "headers"),
        ({"url": "https://x", "page": 7}, "texts"),
        ({"url": 7}, "first page"),
    ],
)
def test_a_poll_plan_that_cannot_work_says_where(raw: Any, problem: str) -> None:
    with pytest.raises(BadMapping, match=problem):
        PollPlan.parse(raw)


def test_where_the_next_page_is() -> None:
    link = PollPlan.parse({"url": "https://x/a?k=1", "next": "$.links.next"})
    assert link.first() == "https://x/a?k=1"
    assert link.after(link.first(), 1, {"links": {"next": "/b?p=2"}}, 9, "") == "https://x/b?p=2"
    assert link.after(link.first(), 1, {"links": {}}, 100, "https://x/other") == ""
    cursor = PollPlan.parse({"url": "https://x/a", "query": {"limit": "5"}, "next": "$.c", "cursor": "after"})
    assert cursor.after("https://x/a?limit=5&after=1", 1, {"c": "z z"}, 5, "") == "https://x/a?limit=5&after=z+z"
    page = PollPlan.parse({"url": "https://x/a", "page": "page", "size": 2})
    assert page.first() == "https://x/a?page=1"
    assert page.after(page.first(), 1, [], 2, "") == "https://x/a?page=2"
    assert page.after("https://x/a?page=2", 2, [], 1, "") == ""
    offset = PollPlan.parse({"url": "https://x/a", "offset": "from", "size": 50, "since": "changed_after"})
    assert offset.first("2026-01-01T00:00:00+00:00") == (
        "https://x/a?changed_after=2026-01-01T00%3A00%3A00%2B00%3A00&from=0"
    )
    assert offset.after("https://x/a?from=0", 1, [], 50, "") == "https://x/a?from=50"
    header = PollPlan.parse({"url": "https://x/a"})
    assert header.after("https://x/a", 1, [], 1, "/a?p=2") == "https://x/a?p=2"
    assert header.after("https://x/a", 1, [], 1, "") == ""
