"""The support table of docs/ocpp.md is what the code says, and the code keeps what the table promises."""

from pathlib import Path

from ocpp_bridge import support

PAGE = Path(__file__).resolve().parents[2] / "docs" / "ocpp.md"


def test_the_table_is_what_the_code_says() -> None:
    page = PAGE.read_text()
    assert page == support.replaced(page), "run: python manage.py ocpp_support --write"


def test_every_message_has_one_direction_and_every_handler_one_message() -> None:
    for version, meaning in support.MEANINGS.items():
        assert meaning.handlers.keys() <= support.BY_STATIONS | support.BOTH_WAYS, version
        assert (meaning.kept | meaning.declined) & meaning.dialect.actions <= meaning.handlers.keys(), version
        assert meaning.at_once.keys() <= meaning.handlers.keys(), version
    known = {action for meaning in support.MEANINGS.values() for action in meaning.dialect.actions}
    assert known >= support.BY_STATIONS | support.BOTH_WAYS


def test_what_stations_send_is_never_what_we_say() -> None:
    assert not support.BY_STATIONS & support.outbound().keys()
    assert all("sent" in row.values() or "no" in row.values() for row in support.outbound().values())


def test_every_message_of_1_6_and_of_the_2_x_core_is_taken() -> None:
    taken = {support.HANDLED, support.KEPT}
    assert {row["1.6"] for row in support.inbound().values()} - {support.UNKNOWN} <= taken
    refused = {action for action, row in support.inbound().items() if row["2.0.1"] not in {*taken, support.UNKNOWN}}
    assert refused == {"Get15118EVCertificate", "GetCertificateStatus"}
