"""Are two sites the same? Pure: descriptions in, a score from 0 to 1 and its factors out; pairs within 250 m only.

The product of factors follows ocpdb's published form (distance, address, operator, number of units), with what plugs,
power and PIN say besides.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

WITHIN_M, SIGMA_M = 250.0, 100.0
ASK_FROM, MERGE_FROM = 0.25, 0.8
UNSAID = 0.95
"""What one side says nothing of speaks slightly against a pair, and for it no more."""
METRES_PER_DEGREE = 111_195.0
CELL_DEGREES = 0.0025  # 278 m: whatever is within 250 m is in the same or the next cell

SHORT = {
    "rd": "road", "st": "street", "ave": "avenue", "opp": "opposite", "nr": "near", "stn": "station", "mkt": "market",
    "blr": "bengaluru", "bangalore": "bengaluru", "ngr": "nagar", "ind": "industrial", "apt": "apartment",
    "lyt": "layout", "mn": "main", "crs": "cross", "jn": "junction", "jct": "junction", "hwy": "highway", "pvt": "",
    "ltd": "", "limited": "", "private": "", "ev": "", "charging": "", "charger": "", "hub": "", "point": "",
    "station": "",
}  # fmt: skip
WORD = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True)
class Site:
    """What is compared. `plugs`: (plug, kW) of each connector. `source_id`: sites of one source are told apart."""

    pk: int
    source_id: int
    name: str
    address: str
    postal_code: str
    operator: str
    latitude: float
    longitude: float
    plugs: tuple[tuple[str, int], ...] = ()
    units: int = 0
    grams: dict[str, frozenset[str]] = field(default_factory=dict, compare=False, hash=False, repr=False)


@dataclass(frozen=True)
class Pair:
    """`score` is the product of `factors`."""

    one: Site
    two: Site
    score: float
    factors: dict[str, float]


def pairs(sites: Sequence[Site]) -> Iterator[Pair]:
    """Every pair of two sources that is worth a question, each once."""
    cells: dict[tuple[int, int], list[Site]] = defaultdict(list)
    for site in sites:
        cells[_cell(site)].append(site)
    for (row, column), here in cells.items():
        beside = [(row, column + 1), (row + 1, column - 1), (row + 1, column), (row + 1, column + 1)]
        for number, one in enumerate(here):
            rest = [*here[number + 1 :], *(site for cell in beside for site in cells.get(cell, ()))]
            for two in rest:
                if one.source_id != two.source_id and (pair := compare(one, two)):
                    yield pair


def batches(found: Iterable[Pair], *, most: int) -> Iterator[list[Pair]]:
    """The pairs in batches that name no site twice; what concerns one site stays in the order it was found in."""
    turns: Counter[int] = Counter()
    waves: dict[int, list[Pair]] = defaultdict(list)
    for pair in found:
        turn = max(turns[pair.one.pk], turns[pair.two.pk])
        turns[pair.one.pk] = turns[pair.two.pk] = turn + 1
        waves[turn].append(pair)
    for turn in sorted(waves):
        for start in range(0, len(waves[turn]), most):
            yield waves[turn][start : start + most]


def _cell(site: Site) -> tuple[int, int]:
    """No cell is narrower than 250 m up to 60 degrees north or south."""
    return math.floor(site.latitude / CELL_DEGREES), math.floor(site.longitude / (2 * CELL_DEGREES))


def compare(one: Site, two: Site) -> Pair | None:
    """None when they are too far apart or too unlike."""
    metres = _metres(one, two)
    if metres > WITHIN_M:
        return None
    factors = {"distance": math.exp(-(metres**2) / (2 * SIGMA_M**2))}
    if factors["distance"] < ASK_FROM:
        return None
    factors |= {
        "name_or_address": _likeness(max(_alike(one, two, "address"), _alike(one, two, "name"), key=lambda x: x or 0)),
        "operator": _likeness(_alike(one, two, "operator")),
        "units": _units(one.units, two.units),
        "plugs": _plugs(one.plugs, two.plugs),
        "pin": _pin(one.postal_code, two.postal_code),
    }
    score = math.prod(factors.values())
    if score < ASK_FROM:
        return None
    rounded = {name: round(value, 3) for name, value in factors.items()} | {"metres": round(metres, 1)}
    return Pair(one, two, round(score, 4), rounded)


def _metres(one: Site, two: Site) -> float:
    """Flat, which is exact to a millimetre at this distance."""
    north = (one.latitude - two.latitude) * METRES_PER_DEGREE
    east = (one.longitude - two.longitude) * METRES_PER_DEGREE * math.cos(math.radians(one.latitude))
    return math.hypot(north, east)


def _alike(one: Site, two: Site, name: str) -> float | None:
    """Share of common trigrams (Dice), None when one side says nothing."""
    first, second = _grams(one, name), _grams(two, name)
    if not first or not second:
        return None
    return 2 * len(first & second) / (len(first) + len(second))


def _grams(site: Site, name: str) -> frozenset[str]:
    if name not in site.grams:
        site.grams[name] = trigrams(getattr(site, name))
    return site.grams[name]


def trigrams(text: str) -> frozenset[str]:
    """Of its words without abbreviations and trade words, in any order."""
    words = (SHORT.get(word, word) for word in WORD.findall(text.lower()))
    return frozenset(f"  {word} "[at : at + 3] for word in words if word for at in range(len(word) + 1))


def _likeness(alike: float | None) -> float:
    """Texts of one site are rarely equal: from 0.75 up they count as such, below they fall off."""
    return UNSAID if alike is None else min(1.0, 0.2 + alike * 16 / 15)


def _units(one: int, two: int) -> float:
    """A list that counts sites and one that counts cabinets differ by a few."""
    return UNSAID if not one or not two else (min(one, two) / max(one, two)) ** 0.15


def _plugs(one: tuple[tuple[str, int], ...], two: tuple[tuple[str, int], ...]) -> float:
    """Overlap of the plugs, as far as both sides know theirs; power within a tenth is the same."""
    first, second = _known(one), _known(two)
    if not first or not second:
        return UNSAID
    fewer, more = sorted((first, second), key=lambda plugs: sum(plugs.values()))
    common = sum((fewer & more).values()) / sum(fewer.values())
    if common < 1 and {plug for plug, _ in fewer}.isdisjoint(plug for plug, _ in more):
        return 0.3  # no plug in common: two machines, perhaps two sites
    return 0.7 + 0.3 * common


def _known(plugs: tuple[tuple[str, int], ...]) -> Counter[tuple[str, int]]:
    return Counter((plug, round(math.log(kw, 1.12)) if kw else 0) for plug, kw in plugs if plug != "unknown")


def _pin(one: str, two: str) -> float:
    if not one or not two:
        return 0.99
    return 1.0 if one == two else 0.8 if one[:3] == two[:3] else 0.5
