"""GSTINs, places of supply, heads and numbers: the arithmetic of Indian tax, to the paisa."""

import csv
from datetime import UTC, date, datetime
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.gst import gstin, irn, states
from billing.gst.heads import Heads, inside, nearest, round_off, spread, tax_on, total_of
from billing.gst.numbering import NumberTooLong, day_in_india, document_number, financial_year
from billing.gst.supply import supply_between

VECTORS = Path(__file__).parent / "fixtures" / "irn_vectors.csv"
PANS = st.from_regex(r"[A-Z]{5}[0-9]{4}[A-Z]", fullmatch=True)


@st.composite
def gstins(draw: st.DrawFn) -> str:
    state, entity, kind = (draw(st.sampled_from(x)) for x in (sorted(states.STATES), "123456789ABYZ", "ZCD"))
    first = f"{state}{draw(PANS)}{entity}{kind}"
    return first + gstin.check_digit(first)


@pytest.mark.parametrize("text", ["29AAGCB7383J1Z4", "27AAPFU0939F1ZV", " 29aagcb7383j1z4 "])
def test_published_gstins_are_right(text: str) -> None:
    assert gstin.clean(text) == "".join(text.split()).upper()


@given(gstins())
def test_every_state_and_class_is_taken(text: str) -> None:
    """Ladakh (38), Other Territory (97) and the classes C and D too, which the usual libraries refuse."""
    assert gstin.clean(text) == text


@given(gstins(), st.integers(0, 14), st.sampled_from(gstin.ALPHABET))
def test_every_single_wrong_character_is_found(text: str, position: int, letter: str) -> None:
    wrong = text[:position] + letter + text[position + 1 :]
    assert gstin.is_valid(wrong) == (wrong == text)


@given(st.text(gstin.ALPHABET, min_size=14, max_size=14), st.integers(0, 12))
def test_swapped_neighbours_are_found_but_0_with_z(first: str, position: int) -> None:
    swapped = first[:position] + first[position + 1] + first[position] + first[position + 2 :]
    is_missed = gstin.check_digit(first) == gstin.check_digit(swapped)
    assert is_missed == (swapped == first or {first[position], first[position + 1]} == {"0", "Z"})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("29AAGCB7383J1Z", "15 characters"), ("29AAGCB7383J0Z4", "shape"), ("39AAGCB7383J1Z1", "state"),
        ("29AAGCB7383J1Z5", "check digit"), ("２9AAGCB7383J1Z4", "shape"), ("29AAGCB7383J1X4", "shape"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(text: str, why: str) -> None:
    with pytest.raises(gstin.InvalidGSTIN, match=why):
        gstin.clean(text)


def test_a_united_nations_body_has_another_shape() -> None:
    assert gstin.clean("0717USA00017UN" + gstin.check_digit("0717USA00017UN"))


@pytest.mark.parametrize(
    ("supplier", "recipient", "facts", "expected"),
    [
        ("29", "29", {"is_registered": True}, ("29", "B2B", False, "SGST")),
        ("29", "27", {"is_registered": True}, ("27", "B2B", True, "SGST")),
        ("04", "04", {"is_registered": True}, ("04", "B2B", False, "UTGST")),
        ("38", "38", {"is_registered": True}, ("38", "B2B", False, "UTGST")),
        ("07", "07", {"is_registered": True}, ("07", "B2B", False, "SGST")),
        ("29", "29", {"is_registered": True, "is_sez": True}, ("29", "SEZWP", True, "SGST")),
        ("29", "29", {"is_sez": True, "has_undertaking": True}, ("29", "SEZWOP", True, "SGST")),
        ("29", "", {}, ("29", "B2C", False, "SGST")),
        ("29", "97", {}, ("97", "B2C", True, "UTGST")),
    ],
)  # fmt: skip
def test_where_a_supply_takes_place(supplier: str, recipient: str, facts: dict, expected: tuple) -> None:
    found = supply_between(supplier_state=supplier, recipient_state=recipient, **facts)
    assert (found.place_of_supply, found.kind, found.is_interstate, found.state_head) == expected


RATES = st.sampled_from([Fraction(0), Fraction(5), Fraction(12), Fraction(18), Fraction(28), Fraction(1, 4)])
LINES = st.lists(st.tuples(st.integers(-10_000, 10_000_000), RATES), max_size=60)


@given(LINES, st.booleans())
def test_lines_add_up_to_heads_that_are_computed_once(lines: list[tuple[int, Fraction]], is_interstate: bool) -> None:
    shares = tax_on(lines, is_interstate=is_interstate)
    total = total_of(shares)
    by_rate = {rate: sum(paise for paise, own in lines if own == rate) for _, rate in lines}
    if is_interstate:
        assert total == Heads(igst_paise=sum(nearest(paise * rate / 100) for rate, paise in by_rate.items()))
    else:
        half = sum(nearest(paise * rate / 200) for rate, paise in by_rate.items())
        assert total == Heads(half, half)
        assert all(share.cgst_paise == share.sgst_paise for share in shares)


@given(LINES, st.booleans())
def test_no_line_is_a_whole_paisa_away_from_its_own_tax(lines: list, is_interstate: bool) -> None:
    for (paise, rate), share in zip(lines, tax_on(lines, is_interstate=is_interstate), strict=True):
        exact = paise * rate / (100 if is_interstate else 200)
        assert abs((share.igst_paise if is_interstate else share.cgst_paise) - exact) <= 1


@given(st.lists(st.fractions(min_value=-100, max_value=100), min_size=1, max_size=20), st.integers(-5_000, 5_000))
def test_a_spread_always_adds_up(exact: list[Fraction], total: int) -> None:
    assert sum(spread(exact, total)) == total


@given(st.integers(1, 10**12), RATES, st.booleans())
def test_an_advance_is_its_tax_and_the_rest(gross: int, rate: Fraction, is_interstate: bool) -> None:
    taxable, heads = inside(gross, rate, is_interstate=is_interstate)
    assert taxable + heads.total_paise == gross
    assert abs(taxable * rate / 100 - heads.total_paise) <= 3


@given(st.integers(-(10**12), 10**12))
def test_rupees_are_whole_after_the_round_off(paise: int) -> None:
    assert (paise + round_off(paise)) % 100 == 0
    assert abs(round_off(paise)) <= 50
    assert round_off(-paise) == -round_off(paise)  # a credit note mirrors its invoice


@pytest.mark.parametrize(("paise", "rounded"), [(149, 100), (150, 200), (100, 100), (50, 100), (49, 0)])
def test_fifty_paise_go_up(paise: int, rounded: int) -> None:
    assert paise + round_off(paise) == rounded


@pytest.mark.parametrize(
    ("at", "year"),
    [
        (datetime(2026, 3, 31, 18, 29, 59, tzinfo=UTC), "2025-26"),  # 23:59:59 in India
        (datetime(2026, 3, 31, 18, 30, tzinfo=UTC), "2026-27"),
        (datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC), "2026-27"),
        (datetime(2099, 12, 31, tzinfo=UTC), "2099-00"),
    ],
)  # fmt: skip
def test_the_year_changes_at_midnight_in_india(at: datetime, year: str) -> None:
    assert financial_year(day_in_india(at)) == year


def test_a_number_has_at_most_16_characters() -> None:
    assert document_number("FC", "2026-27", 123) == "FC/26-27/0000123"
    for prefix, number in (("FC", 10_000_000), ("ABC", 1), ("0C", 1), ("fc", 1)):
        with pytest.raises(NumberTooLong):
            document_number(prefix, "2026-27", number)


def test_irns_are_what_the_portal_answered() -> None:
    with VECTORS.open() as file:
        vectors = list(csv.DictReader(file))
    assert len(vectors) >= 2
    for vector in vectors:
        year = financial_year(date.fromisoformat(vector["day"]))
        told = irn.predict(gstin=vector["gstin"], year=year, kind=vector["kind"], number=vector["number"])
        assert told == vector["irn"], vector


def test_no_two_states_share_a_name() -> None:
    assert all(states.code_of(name) for name in states.STATES.values())
    assert all(first < second for first, second in pairwise(states.STATES))
