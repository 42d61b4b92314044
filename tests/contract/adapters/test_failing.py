"""What every network promises while its peer answers rubbish, or nothing at all."""

from datetime import timedelta

import pytest
from django.utils import timezone

from dispatch.models import Reservation
from stations.cpo.base import Capability
from stations.models import Connector
from stations.tasks import poll_due_sources
from tests.contract.adapters.line import SLOW
from tests.contract.adapters.network import Network, becomes, needs

pytestmark = pytest.mark.django_db(transaction=True)
NOT_ASKED = "there is nothing we ask for that could fail"
NAMES = {
    "html": {"not_ocpi", "no_ack", "not_json"},
    "500": {"http_500", "cpo_unavailable"},
    "cut": {"cpo_unavailable"},
    "too much": {"too_large"},
    "away": {"cpo_unavailable"},
    "silence": {"cpo_unavailable"},
    "drip": {"cpo_unavailable"},
}
CLIENTS = ("stations.cpo.ocpi.client", "stations.cpo.ubc.client", "stations.cpo.webhooks.polling")


@pytest.fixture(autouse=True)
def hurried(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No minute is waited for an answer that never comes."""
    if "how" in request.fixturenames and request.getfixturevalue("how") in SLOW:
        monkeypatch.setattr("stations.cpo.ocpi.commanding.ANSWER_SECONDS", 0.3)
        for name in CLIENTS:
            monkeypatch.setattr(f"{name}.MAX_SECONDS", 0.3)


def break_it(network: Network, how: str) -> None:
    if how == "away":
        network.line.close()
    else:
        network.line.breaks = how


@needs(Capability.PULL, why=NOT_ASKED)
@pytest.mark.parametrize("how", list(NAMES))
def test_a_wrong_answer_is_a_named_error_and_takes_nothing_away(network: Network, how: str) -> None:
    plug, shown = network.plug(), network.sites().filter(is_removed=False).count()
    break_it(network, how)
    source = network.deliver()
    assert source.last_error_code in NAMES[how], source.last_error
    assert source.name in source.last_error
    assert (source.failures_in_row, source.state) == (1, "connected")
    assert network.sites().filter(is_removed=False).count() == shown
    assert network.plug().status == plug.status


@needs(Capability.PULL, why=NOT_ASKED)
def test_after_three_in_a_row_it_fails_and_is_asked_ever_less_until_it_works(network: Network) -> None:
    network.line.breaks = "html"
    pauses = []
    for _ in range(5):
        source = network.deliver()
        assert source.next_poll_at is not None
        pauses.append((source.next_poll_at - timezone.now()).total_seconds())
    assert (source.state, source.failures_in_row) == ("failing", 5)
    assert pauses == sorted(pauses)
    assert pauses[-1] > 4 * pauses[0] > 0
    asked = network.line.asked
    assert poll_due_sources() == 0
    assert network.line.asked == asked
    network.line.breaks = ""
    source = network.deliver()
    assert (source.state, source.failures_in_row, source.last_error, source.last_error_code) == ("connected", 0, "", "")


@needs(Capability.PULL, Capability.RESERVE)
def test_a_failing_network_is_asked_for_no_promise_and_no_start(network: Network) -> None:
    """The circuit is open: a vehicle is told at once, and the peer is left alone."""
    network.line.breaks = "500"
    for _ in range(3):
        network.deliver()
    assert network.source().state == "failing"
    network.line.breaks = ""
    asked = network.line.asked
    row = network.reserve()
    row.refresh_from_db()
    assert row.state == "requested"  # it waits for the network, until the sweep gives it up
    command = becomes(network.start(), "failed")
    assert "failing" in command.reason
    assert network.line.asked == asked
    network.deliver()
    assert network.source().state == "connected"


@needs(Capability.PULL, Capability.START_STOP)
@pytest.mark.parametrize("how", list(SLOW))
def test_a_command_that_is_never_answered_ends_and_the_next_goes_through(network: Network, how: str) -> None:
    network.line.breaks = how
    command = becomes(network.start(), "failed")
    assert network.source().name in command.reason
    assert network.source().failures_in_row == 1
    network.line.breaks = ""
    again = network.start()
    assert again.pk != command.pk
    assert again.state in {"sent", "accepted"}


@needs(Capability.PULL, Capability.START_STOP)
def test_commands_that_find_nobody_count_like_polls(network: Network) -> None:
    network.line.close()
    command = becomes(network.start(), "failed")
    assert network.source().name in command.reason
    source = network.source()
    assert (source.failures_in_row, source.last_error_code) == (1, "cpo_unavailable")
    assert source.next_poll_at is not None
    assert source.next_poll_at < timezone.now() + timedelta(minutes=1)


@needs(Capability.PULL, Capability.RESERVE)
def test_a_promise_that_meets_rubbish_is_over_with_its_reason(network: Network) -> None:
    network.line.breaks = "html"
    row = becomes(network.reserve(), "failed", "rejected")
    assert network.source().name in row.reason
    network.line.breaks = ""
    assert not Connector.objects.get(pk=row.connector_id).is_held
    again = becomes(network.reserve(), "confirmed")
    assert Reservation.objects.active().get() == again
