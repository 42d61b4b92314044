"""All 44 example messages of the UBC specification are understood and go out as they came; nonsense has a name."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from stations.cpo.ubc import wire
from stations.cpo.ubc.profiles import BECKN_20_LTS, CONTEXT, UBC_09

EXAMPLES = sorted((Path(__file__).parent / "data/ubc").glob("*.json"))


def example(part: str) -> wire.Envelope:
    return wire.read(next(path for path in EXAMPLES if part in path.name).read_bytes())


def test_there_are_44_of_them() -> None:
    assert len(EXAMPLES) == 44


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_understood_and_goes_out_as_it_came(path: Path) -> None:
    raw = path.read_bytes()
    envelope = wire.read(raw)
    assert type(envelope.message) is wire.BODIES[envelope.context.action]
    assert json.loads(wire.dump(envelope.as_sent())) == json.loads(raw)


def test_every_item_and_offer_of_the_catalogues_is_understood() -> None:
    found = []
    for name in ("02_on_discover_ev", "02_on_discover_specific", "21_publish"):
        catalog = wire.Catalog.model_validate(example(name).message.catalogs[0])
        for entry in catalog.items:
            item = wire.Item.model_validate(entry)
            assert item.as_sent() == entry
            found.append((item.service.plug, item.service.max_power_kw))
        for entry in catalog.offers:
            assert wire.Offer.model_validate(entry).as_sent() == entry
    assert found == [
        ("CCS2", 60),
        ("CCS2", 120),
        ("Type2", 22),
        ("CCS2", 60),
        ("CCS2", 60),
        ("CCS2", 120),
        ("Type2", 22),
    ]


def test_money_is_read_from_the_digits_that_were_sent() -> None:
    order = example("04_on_select_ev-charging-on_select.json").message.order
    assert order.value.value == Decimal("143.95")
    assert wire.paise(order.value.value) == 14_395
    assert sum(component.value for component in order.value.components) == Decimal("143.95")
    assert [wire.paise(Decimal(text)) for text in ("0.005", "-0.005", "2.675", "0.1")] == [1, -1, 268, 10]


def test_an_undercharge_is_worth_its_value_not_the_sum_of_its_lines() -> None:
    order = example("14_02_on_update_ev-charging-undercharge").message.order
    assert order.value.value == 90
    assert sum(component.value for component in order.value.components) == Decimal("36.05")


def test_an_error_says_what_the_peer_said() -> None:
    assert example("04_on_select_ev-charging-on_select-Rejected").error.text.startswith("Requested slot overlaps")
    assert example("10_on_update_ev-charging-start-on_update-Rejected").error.code == "40006"
    assert example("04_on_select_ev-charging-on_select.json").error.text == ""


# --- tolerance -----------------------------------------------------------------------------------------------------
def body(**changes: Any) -> dict[str, Any]:
    return json.loads(next(path for path in EXAMPLES if "08_00_on_confirm" in path.name).read_bytes()) | changes


def test_names_without_prefix_and_unknown_words_are_read() -> None:
    changed = json.loads(json.dumps(body()).replace("beckn:", ""))
    changed["message"]["order"]["orderStatus"] = "ON_THE_MOON"
    changed["message"]["order"]["mood"] = {"is": "good"}
    order = wire.understand(changed).message.order
    assert (order.status, order.id, order.fulfillment.delivery.session_status) == (
        "ON_THE_MOON", "order-ev-charging-001", "PENDING",
    )  # fmt: skip
    assert order.as_sent()["mood"] == {"is": "good"}


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "not_json"),
        (b"<html>", "not_json"),
        (b'{"context": NaN}', "not_json"),
        (b"[" * 100_000, "not_json"),
        (b"[]", "no_context"),
        (b'{"message": {}}', "no_context"),
        (b'{"context": {"action": "on_select"}}', "bad_context"),
        (json.dumps(body() | {"message": None}).encode(), "bad_message"),
        (json.dumps(body() | {"message": {"order": 7}}).encode(), "bad_message"),
    ],
)
def test_what_cannot_be_read_has_a_name(raw: bytes, code: str) -> None:
    with pytest.raises(wire.BadMessage) as refused:
        wire.read(raw)
    assert refused.value.code == code


def test_an_action_nobody_knows_has_a_name() -> None:
    strange = body()
    strange["context"]["action"] = "on_dance"
    with pytest.raises(wire.BadMessage, match="no action on_dance"):
        wire.understand(strange)


@pytest.mark.parametrize("coordinates", [[77.59, 12.94], [12.94, 77.59], ["77.59", "12.94"], [77.59, 12.94, 900]])
def test_a_position_is_read_in_either_order(coordinates: list[Any]) -> None:
    assert wire.position(coordinates) == (12.94, 77.59)


@pytest.mark.parametrize("coordinates", [[0, 0], [77.59], None, {}, [2.35, 48.85], ["x", "y"], [float("nan"), 77]])
def test_a_position_outside_india_is_refused(coordinates: Any) -> None:
    with pytest.raises(ValueError, match=r"position|India"):
        wire.position(coordinates)


def test_windows_are_dated_or_times_of_a_day() -> None:
    noon = wire.instant("2026-01-04T06:30:00Z")  # 12:00 in India
    dated = {"schema:startTime": "2026-01-04T06:00:00Z", "schema:endTime": "2026-01-04T22:00:00Z"}
    assert wire.is_open([dated], noon)
    assert not wire.is_open([dated], wire.instant("2026-01-05T06:30:00Z"))
    assert wire.is_open([{"startTime": "08:00:00", "endTime": "20:00:00"}], noon)
    assert wire.is_open([{"startTime": "20:00", "endTime": "13:00"}], noon)
    assert not wire.is_open([{"startTime": "20:00", "endTime": "24:00"}], noon)
    assert not wire.is_open([{"startTime": "soon", "endTime": ""}], noon)
    assert not wire.is_open([], noon)


# --- profiles ------------------------------------------------------------------------------------------------------
def test_the_next_profile_is_only_other_data() -> None:
    context = {name: name.upper() for name in CONTEXT}
    assert BECKN_20_LTS.context_out(context)["transactionId"] == "TRANSACTION_ID"
    for profile in (UBC_09, BECKN_20_LTS):
        assert profile.context_in(profile.context_out(context)) == context
    assert (UBC_09.path_of("on_rating"), BECKN_20_LTS.path_of("on_rating")) == ("on_rating", "on_rate")
    assert (BECKN_20_LTS.action_of("on_rate"), UBC_09.action_of("on_rate")) == ("on_rating", "")


def test_a_message_in_the_next_profile_is_understood() -> None:
    lts = json.loads(json.dumps(body()).replace("beckn:", ""))
    lts["context"] = BECKN_20_LTS.context_out(lts["context"])
    lts["message"] = {"contract": lts["message"]["order"]}
    envelope = wire.read(json.dumps(lts).encode(), BECKN_20_LTS)
    assert (envelope.context.bap_id, envelope.message.order.status) == ("example-bap.com", "CONFIRMED")
