"""Which sites count as one: measured on a drawn country of sites that a second source describes in its own words."""

import random

import pytest

from stations.dedupe import MERGE_FROM, Site, compare, pairs, trigrams

OPERATORS = ("Tata Power", "Statiq", "ChargeZone", "Jio-bp pulse", "GLIDA", "Zeon", "Relux", "Kazam")
STREETS = (
    "MG",
    "Residency",
    "Hosur",
    "Sarjapur",
    "Bannerghatta",
    "Old Madras",
    "Tumkur",
    "Mysore",
    "Bellary",
    "Kanakapura",
)
PLACES = (
    "Forum Mall",
    "Tech Park",
    "Fuel Plaza",
    "Metro Parking",
    "City Market",
    "Hotel Orchid",
    "Lake View",
    "Bus Depot",
)
LAYOUTS = ((("ccs2", 60_000), ("ccs2", 60_000)), (("ccs2", 30_000),), (("type2_socket", 22_000), ("ccs2", 120_000)))


def drawn(rng: random.Random, number: int, *, source: int = 1) -> Site:
    """About one site per square kilometre, some of them wall to wall."""
    street, place = rng.choice(STREETS), rng.choice(PLACES)
    plugs = rng.choice(LAYOUTS)
    return Site(
        number, source, f"{place} {number}", f"{rng.randint(1, 400)}, {street} Road, Ward {number % 97}",
        f"5600{number % 90 + 10}", rng.choice(OPERATORS), 12.5 + rng.random() * 0.9, 77.2 + rng.random() * 0.9, plugs,
        len(plugs),
    )  # fmt: skip


def retold(rng: random.Random, site: Site, number: int) -> Site:
    """The same site as another list has it: some metres off, abbreviated, with gaps."""
    address = site.address.replace("Road", rng.choice(("Rd", "Road", "Rd."))).replace(",", rng.choice((",", "")))
    return Site(
        number, 2, rng.choice((site.name, f"{site.name} EV Charging Station")), address,
        rng.choice((site.postal_code, "")), rng.choice((site.operator, f"{site.operator} Ltd", "")),
        site.latitude + rng.gauss(0, 12) / 111_195, site.longitude + rng.gauss(0, 12) / 108_000,
        rng.choice((site.plugs, ())), rng.choice((site.units, 0)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def country() -> tuple[list[Site], dict[int, int]]:
    """5,000 sites: 3,500 of one source, 1,000 of those told again by another, and 500 that only the other knows."""
    rng = random.Random(41)
    first = [drawn(rng, number) for number in range(1, 3501)]
    again = [retold(rng, site, 10_000 + site.pk) for site in rng.sample(first, 1000)]
    others = [drawn(rng, number, source=2) for number in range(20_001, 20_501)]
    return [*first, *again, *others], {site.pk: site.pk - 10_000 for site in again}


def test_of_5000_sites_most_doubles_are_merged_and_no_two_sites_are(country: tuple[list[Site], dict[int, int]]) -> None:
    sites, twins = country
    found = list(pairs(sites))
    right = {frozenset((pair.one.pk, pair.two.pk)): pair for pair in found}
    real = {frozenset(pair) for pair in twins.items()}
    merged = {key for key, pair in right.items() if pair.score >= MERGE_FROM}
    assert merged - real == set()
    assert len(merged & real) >= 850
    assert len(real - right.keys()) <= 10  # a person is asked about the rest
    assert len(right.keys() - real) <= 60  # and about few that are none


def site(**said: object) -> Site:
    facts = {
        "pk": 1, "source_id": 1, "name": "Forum Mall", "address": "21, Hosur Road, Koramangala",
        "postal_code": "560029",
        "operator": "Statiq", "latitude": 12.9345, "longitude": 77.6113, "plugs": (("ccs2", 60_000),), "units": 1,
    }  # fmt: skip
    return Site(**{**facts, **said})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        ({}, 0.99, 1.0),
        ({"address": "21 Hosur Rd Koramangala"}, 0.95, 1.0),
        ({"latitude": 12.93495, "postal_code": ""}, 0.8, 0.99),  # 50 m off
        ({"operator": "Tata Power"}, 0.0, 0.35),  # the competitor next door
        ({"plugs": (("type2_socket", 7_400),)}, 0.25, 0.35),
        ({"plugs": (("ccs2", 62_500),)}, 0.9, 1.0),  # 60 kW by another count
        ({"name": "Bus Depot", "address": "4, Tank Bund Street"}, 0.0, 0.45),
        ({"postal_code": "600001"}, 0.4, 0.6),
    ],
)
def test_what_speaks_for_and_against_a_pair(said: dict[str, object], least: float, most: float) -> None:
    pair = compare(site(), site(pk=2, source_id=2, **said))
    assert least <= (pair.score if pair else 0.0) <= most


def test_sites_farther_apart_than_a_city_block_are_two() -> None:
    assert compare(site(), site(pk=2, source_id=2, latitude=12.9345 + 0.0023)) is None


def test_a_source_tells_its_own_sites_apart() -> None:
    assert list(pairs([site(), site(pk=2)])) == []
    assert len(list(pairs([site(), site(pk=2, source_id=2)]))) == 1


def test_neighbours_across_the_border_of_two_cells_are_found() -> None:
    for latitude, longitude in ((13.0, 77.5), (12.5, 77.5), (12.9325, 77.605), (28.6, 77.2)):
        one = site(latitude=latitude - 0.0001, longitude=longitude - 0.0001)
        two = site(pk=2, source_id=2, latitude=latitude + 0.0001, longitude=longitude + 0.0001)
        assert len(list(pairs([one, two]))) == 1, (latitude, longitude)


def test_abbreviations_and_trade_words_are_no_difference() -> None:
    assert trigrams("Hosur Rd, Bangalore EV Charging Station") == trigrams("hosur road bengaluru")
