"""Green Button files: taken to the Wh, or refused as a whole with a reason that has a name."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.utility.green_button import reading, words, writing, xml
from billing.utility.green_button.words import BadFeed, Feed, Reading, Summary

INDIA, BERLIN = ZoneInfo("Asia/Kolkata"), ZoneInfo("Europe/Berlin")
MIDNIGHT = datetime(2026, 10, 31, 18, 30, tzinfo=UTC)
EPOCH = int(MIDNIGHT.timestamp())


def entry(content: str, links: str = "") -> str:
    return f"<entry><id>x</id>{links}<title>part</title><content>{content}</content></entry>"


def block(*rows: tuple[int, int, int], links: str = "") -> str:
    told = "".join(
        f"<e:IntervalReading><e:timePeriod><e:duration>{seconds}</e:duration><e:start>{EPOCH + offset}</e:start>"
        f"</e:timePeriod><e:value>{value}</e:value></e:IntervalReading>"
        for offset, seconds, value in rows
    )
    return entry(f"<e:IntervalBlock>{told}</e:IntervalBlock>", links)


def kind(uom: int = 72, power: int = 0, extra: str = "", links: str = "") -> str:
    told = f"<e:powerOfTenMultiplier>{power}</e:powerOfTenMultiplier><e:uom>{uom}</e:uom>{extra}"
    return entry(f"<e:ReadingType>{told}</e:ReadingType>", links)


def file_of(*entries: str, before: str = "") -> bytes:
    body = "".join(entries)
    return f'{before}<feed xmlns="{words.ATOM}" xmlns:e="{words.ESPI}"><title>Depot</title>{body}</feed>'.encode()


def values(*entries: str) -> list[int]:
    return [row.energy_wh for row in reading.read(file_of(*entries)).readings]


def test_multipliers_and_units_end_in_whole_watt_hours() -> None:
    rows = [(0, 900, 5), (900, 900, 7)]
    assert values(kind(), block(*rows)) == [5, 7]
    assert values(kind(power=3), block(*rows)) == [5_000, 7_000]
    assert values(kind(power=-1), block((0, 900, 15), (900, 900, 15), (1800, 900, 9))) == [1, 2, 0]  # 3.9 Wh in all
    assert values(kind(uom=38), block((0, 900, 10_000), (900, 1800, 3_000))) == [2_500, 1_500]


def test_each_block_is_read_by_its_own_type() -> None:
    links = '<link rel="self" href="/M/1"/><link rel="related" href="/T/kilo"/>'
    other = '<link rel="self" href="/M/2"/><link rel="related" href="/T/plain"/>'
    parts = [
        entry("<e:MeterReading/>", links), entry("<e:MeterReading/>", other),
        kind(power=3, links='<link rel="self" href="/T/kilo"/>'), kind(links='<link rel="self" href="/T/plain"/>'),
        block((900, 900, 4), links='<link rel="up" href="/M/2/IntervalBlock"/>'),
        block((0, 900, 4), links='<link rel="up" href="/M/1/IntervalBlock"/>'),
    ]  # fmt: skip
    assert values(*parts) == [4_000, 4]


BOMB = '<!DOCTYPE f [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
DEEP = "<e:a>" * 60 + "</e:a>" * 60
SUMMARY = (
    "<e:UsageSummary><e:billingPeriod><e:duration>86400</e:duration><e:start>{}</e:start></e:billingPeriod>{}"
    "</e:UsageSummary>"
)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "not_xml"),
        (b"PK\x03\x04", "not_xml"),
        (file_of(kind())[:-9], "not_xml"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "not_xml"),
        (b"<feed/>", "not_green_button"),
        (file_of(kind(), block((0, 900, 1)), before=BOMB), "entities_forbidden"),
        (file_of(before='<!DOCTYPE f SYSTEM "http://stranger.example/x.dtd">'), "entities_forbidden"),
        (file_of(entry(DEEP)), "too_deep"),
        (b" " * (xml.MOST_BYTES + 1), "too_large"),
        (file_of(block((0, 900, 1))), "no_reading_type"),
        (file_of(kind(), kind(power=3), block((0, 900, 1))), "no_reading_type"),
        (file_of(kind()), "no_readings"),
        (file_of(kind(uom=61), block((0, 900, 1))), "wrong_unit"),
        (file_of(kind(extra="<e:flowDirection>19</e:flowDirection>"), block((0, 900, 1))), "wrong_direction"),
        (file_of(kind(power=99), block((0, 900, 1))), "bad_value"),
        (file_of(kind(), block((0, 900, 1), (600, 900, 1))), "overlapping"),
        (file_of(kind(), block((0, 900, 1)), block((0, 900, 2))), "overlapping"),
        (file_of(kind(), block((0, 900, -1))), "bad_value"),
        (file_of(kind(), block((0, 0, 1))), "bad_value"),
        (file_of(kind(), block((-EPOCH, 900, 1))), "bad_value"),
        (file_of(kind(extra="<e:intervalLength>900</e:intervalLength>"), block((0, 3600, 1))), "interval_length"),
        (file_of(kind(), block((0, 900, 10**17))), "bad_value"),
        (file_of(kind(), entry("<e:IntervalBlock><e:IntervalReading/></e:IntervalBlock>")), "bad_value"),
        (file_of(entry("<e:UsagePoint/>"), entry("<e:UsagePoint/>")), "several_places"),
        (file_of(entry(SUMMARY.format(EPOCH, ""))), "bad_value"),
        (file_of(entry(SUMMARY.format("12.5", "<e:billLastPeriod>1</e:billLastPeriod>"))), "bad_value"),
        (file_of(entry(SUMMARY.format(EPOCH, "<e:billLastPeriod>1</e:billLastPeriod><e:currency>840</e:currency>"))),
         "wrong_currency"),
    ],
)  # fmt: skip
def test_every_refusal_has_its_name(data: bytes, code: str) -> None:
    with pytest.raises(BadFeed) as refusal:
        reading.read(data)
    assert refusal.value.code == code


def test_too_many_readings_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_READINGS", 2)
    with pytest.raises(BadFeed, match="more than 2 readings"):
        values(kind(), block((0, 900, 1), (900, 900, 1), (1800, 900, 1)))


@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_name(data: bytes) -> None:
    with pytest.raises(BadFeed):
        reading.read(data)


def write(feed: Feed, zone: ZoneInfo = INDIA) -> bytes:
    pieces = writing.feed(
        key="7", title=feed.title, zone=zone, readings=feed.readings, summaries=feed.summaries, at=MIDNIGHT
    )
    return "".join(pieces).encode()


@given(
    st.lists(st.tuples(st.integers(0, 10**7), st.sampled_from([0, 0, 8, 14])), max_size=200),
    st.sampled_from([900, 1800, 3600]),
    st.lists(st.tuples(st.sampled_from(["energy:Peak & co", "duty", ""]), st.integers(-(10**7), 10**9)), max_size=4),
    st.sampled_from([INDIA, BERLIN]),
)
def test_what_is_written_is_read_again(
    rows: list[tuple[int, int]], seconds: int, items: list[tuple[str, int]], zone: ZoneInfo
) -> None:
    readings = tuple(
        Reading(MIDNIGHT + number * timedelta(seconds=seconds), seconds, wh, quality)
        for number, (wh, quality) in enumerate(rows)
    )
    summary = Summary(MIDNIGHT, 30 * 86_400, sum(paise for _, paise in items), 4_711, tuple(items))
    offset = 19_800 if zone is INDIA else 3_600
    feed = Feed("Depot <Hoodi> & Sons", readings, (summary,), offset)
    assert reading.read(write(feed, zone)) == feed


def test_the_clock_of_a_place_that_changes_it_is_told() -> None:
    told = write(Feed("x", (Reading(MIDNIGHT, 900, 1),)), BERLIN).decode()
    assert "<espi:dstOffset>3600</espi:dstOffset>" in told
    assert "<espi:dstStartRule>31D02000</espi:dstStartRule>" in told  # 29 March, 02:00
    assert "<espi:dstEndRule>A1903000</espi:dstEndRule>" in told  # 25 October, 03:00
    assert "<espi:dstStartRule>00000000</espi:dstStartRule>" in write(Feed("x", (Reading(MIDNIGHT, 900, 1),))).decode()
