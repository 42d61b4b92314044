"""Messages reach a live receiver over HTTP: signed, once, again after failures, and nobody waits for a slow one."""

import re
import shutil
import subprocess
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.db import connection

from fleetcharge.accounts.models import AuditEntry, Organisation
from fleetcharge.lib import outbound
from fleetcharge.webhooks import deliveries, sending, services
from fleetcharge.webhooks.listeners import listeners
from fleetcharge.webhooks.models import WebhookDelivery, WebhookEndpoint
from fleetcharge.webhooks.retrying import PAUSES, pause_after
from fleetcharge.webhooks.tests.receiver import Answer, Receiver
from tests.running import wait_for

pytestmark = pytest.mark.django_db(transaction=True)
DOCS = (Path(__file__).resolve().parents[3] / "docs/webhooks.md").read_text()
State = WebhookDelivery.State


class Clock:
    """Ours to turn: what is due depends on it alone."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def send(clock: Clock) -> Callable[[], int]:
    """One round, a moment later than everything said so far."""

    def one_round() -> int:
        clock.forward(seconds=1)
        return sending.send_round(clock=clock)

    return one_round


def documented(language: str) -> str:
    match = re.search(rf"```{language}\n(.*?)```", DOCS, re.DOTALL)
    assert match, language
    return match[1]


def verifies(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """By the example that integrators copy."""
    names: dict[str, Any] = {}
    exec(documented("python"), names)
    return bool(names["verify"](secret, headers, body))


# --- signatures ------------------------------------------------------------------------------------------------------
def test_a_message_arrives_and_the_documented_python_verifies_it(
    endpoint: WebhookEndpoint, receiver: Receiver, say: Any, send: Any, clock: Clock
) -> None:
    assert say("low") == 1
    assert send() == 1
    [request] = receiver.received
    secret = endpoint.secrets(clock())[0]
    assert verifies(secret, request.headers, request.body)
    assert not verifies(secret, request.headers, request.body + b" ")
    assert not verifies(secret, {**request.headers, "webhook-id": "msg_other"}, request.body)
    assert not verifies(secret, {**request.headers, "webhook-timestamp": "1"}, request.body)
    assert request.headers["content-type"] == "application/json"
    message = orjson.loads(request.body)
    assert list(message) == ["type", "timestamp", "data"]
    assert (message["type"], message["data"]) == ("wallet.low", {"available_paise": 95_000, "note": "₹ low"})
    row = WebhookDelivery.objects.select_related("message").get()
    assert (row.state, row.attempts, row.last_status, row.next_attempt_at) == (State.DELIVERED, 1, 204, None)
    assert request.headers["webhook-id"] == row.message.public_id


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node on this machine")
def test_the_documented_javascript_verifies_it(
    endpoint: WebhookEndpoint, receiver: Receiver, say: Any, send: Any, clock: Clock
) -> None:
    say("low")
    send()
    [request] = receiver.received
    asked = orjson.dumps([endpoint.secrets(clock())[0], request.headers, request.body.decode()]).decode()
    script = f"{documented('javascript')}\nconst [secret, headers, body] = {asked};\n"
    script += (
        "console.log(verify(secret, headers, Buffer.from(body)), verify(secret, headers, Buffer.from(body + ' ')))"
    )
    said = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["true", "false"]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on this machine")
def test_the_documented_shell_prints_the_signature(
    endpoint: WebhookEndpoint, receiver: Receiver, say: Any, send: Any, clock: Clock, tmp_path: Path
) -> None:
    say("low")
    send()
    [request] = receiver.received
    (tmp_path / "body").write_bytes(request.body)
    names = {"ID": request.headers["webhook-id"], "TIMESTAMP": request.headers["webhook-timestamp"]}
    script = re.findall(r"```sh\n(KEY=.*?)```", DOCS, re.DOTALL)[0]
    said = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**names, "SECRET": endpoint.secrets(clock())[0], "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert said.stdout == request.headers["webhook-signature"]


def test_both_secrets_sign_until_the_old_one_is_over(
    endpoint: WebhookEndpoint, receiver: Receiver, say: Any, send: Any, clock: Clock
) -> None:
    old = endpoint.secrets(clock())[0]
    new = services.rotate_secret(endpoint_id=endpoint.pk, now=clock())
    say("during")
    send()
    clock.forward(hours=25)
    say("after")
    send()
    during, after = receiver.received
    signatures = [during.headers["webhook-signature"].split(), after.headers["webhook-signature"].split()]
    assert [len(found) for found in signatures] == [2, 1]
    assert [verifies(secret, during.headers, during.body) for secret in (old, new)] == [True, True]
    stored = WebhookEndpoint.objects.get()
    assert old not in stored.secret_encrypted + stored.old_secret_encrypted
    assert stored.secrets(clock()) == [new]


def test_nothing_is_sent_unsigned(
    endpoint: WebhookEndpoint, receiver: Receiver, say: Any, send: Any, settings: Any, clock: Clock
) -> None:
    say("low")
    settings.SECRET_KEY = "another one"
    assert send() == 0
    endpoint.refresh_from_db()
    assert (endpoint.is_active, receiver.received) == (False, [])
    assert endpoint.disabled_reason.endswith("rotate it.")
    secret = services.rotate_secret(endpoint_id=endpoint.pk, now=clock())
    services.change_endpoint(endpoint_id=endpoint.pk, changes={"is_active": True}, now=clock())
    assert send() == 1
    [request] = receiver.received
    assert verifies(secret, request.headers, request.body)


# --- failures --------------------------------------------------------------------------------------------------------
def test_a_failure_is_tried_again_with_the_same_id_and_a_new_timestamp(
    endpoint: WebhookEndpoint, receiver: Receiver, say: Any, send: Any, clock: Clock
) -> None:
    receiver.will_answer(Answer(500, body=b"oh \x00 no"), Answer(200, body=b"fine"))
    say("low")
    send()
    row = WebhookDelivery.objects.get()
    assert (row.state, row.attempts, row.last_status, row.last_error) == (State.PENDING, 1, 500, "HTTP 500.")
    assert row.response_snippet == "oh � no"
    assert row.next_attempt_at == clock() + (pause_after(1, seed=row.pk) or timedelta())
    assert send() == 0  # a second later is too early
    clock.forward(seconds=6)
    assert send() == 1
    row.refresh_from_db()
    assert (row.state, row.attempts, row.last_status, row.response_snippet) == (State.DELIVERED, 2, 200, "fine")
    first, second = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert int(second.headers["webhook-timestamp"]) > int(first.headers["webhook-timestamp"])
    assert first.body == second.body
    well = WebhookEndpoint.objects.get()
    assert (well.failures_in_row, well.failing_since) == (0, None)


def test_after_about_three_days_it_is_given_up(
    endpoint: WebhookEndpoint, receiver: Receiver, say: Any, send: Any, clock: Clock, settings: Any
) -> None:
    settings.WEBHOOK_DISABLE_DAYS = 30
    receiver.will_answer(Answer(503))
    say("low")
    for _ in range(len(PAUSES) + 1):
        assert send() == 1
        clock.forward(hours=28)
    row = WebhookDelivery.objects.get()
    assert (row.state, row.attempts, row.next_attempt_at) == (State.FAILED, len(PAUSES) + 1, None)
    assert timedelta(days=2.5) < sum(PAUSES, timedelta()) < timedelta(days=3.5)
    assert (len(receiver.received), send()) == (len(PAUSES) + 1, 0)


def test_410_switches_the_webhook_off_and_says_why(
    endpoint: WebhookEndpoint, receiver: Receiver, say: Any, send: Any, clock: Clock, organisation: Organisation
) -> None:
    receiver.will_answer(Answer(410))
    say("low")
    send()
    endpoint.refresh_from_db()
    assert (endpoint.is_active, endpoint.disabled_at) == (False, clock())
    assert endpoint.disabled_reason == "The endpoint answered 410 Gone."
    assert AuditEntry.objects.filter(action="webhook.disable", organisation=organisation).count() == 1
    assert say("unheard") == 0
    clock.forward(days=1)
    assert send() == 0
    receiver.will_answer(Answer(204))
    services.change_endpoint(endpoint_id=endpoint.pk, changes={"is_active": True}, now=clock())
    assert send() == 1  # what waited is sent
    assert WebhookDelivery.objects.get().state == State.DELIVERED


def test_429_leaves_the_whole_endpoint_alone_for_as_long_as_it_asked(
    endpoint: WebhookEndpoint, receiver: Receiver, say: Any, send: Any, clock: Clock
) -> None:
    receiver.will_answer(Answer(429, {"Retry-After": "120"}), Answer(204))
    say("first")
    send()
    row = WebhookDelivery.objects.get()
    assert row.next_attempt_at == clock() + timedelta(seconds=120)
    say("second")
    clock.forward(seconds=60)
    assert send() == 0
    clock.forward(seconds=60)
    assert send() == 2
    assert set(WebhookDelivery.objects.values_list("state", flat=True)) == {State.DELIVERED}


def test_retry_after_may_be_a_date_and_is_believed_for_a_day_at_most(
    endpoint: WebhookEndpoint, receiver: Receiver, say: Any, send: Any, clock: Clock
) -> None:
    in_a_year = format_datetime(datetime.now(UTC) + timedelta(days=365), usegmt=True)
    receiver.will_answer(Answer(503, {"Retry-After": in_a_year}))
    say("first")
    send()
    endpoint.refresh_from_db()
    assert endpoint.paused_until == clock() + timedelta(days=1)


def test_days_of_failures_switch_it_off_with_the_reason(
    endpoint: WebhookEndpoint, receiver: Receiver, say: Any, send: Any, clock: Clock
) -> None:
    receiver.will_answer(Answer(500))
    say("first")
    send()
    since = clock()
    clock.forward(days=4)
    say("second")
    send()
    endpoint.refresh_from_db()
    assert (endpoint.is_active, endpoint.failing_since) == (True, since)
    clock.forward(days=1)
    send()
    endpoint.refresh_from_db()
    assert not endpoint.is_active
    assert endpoint.disabled_reason == f"Every delivery since {since:%Y-%m-%d %H:%M} UTC failed; the last: HTTP 500."
    assert listeners.of("wallet.low") == frozenset()


def test_one_message_it_cannot_bear_says_nothing_against_an_endpoint(
    endpoint: WebhookEndpoint, receiver: Receiver, say: Any, send: Any, clock: Clock
) -> None:
    for number in range(3):
        say(number)
    receiver.will_answer(Answer(204), Answer(500), Answer(204))
    assert send() == 3
    endpoint.refresh_from_db()
    assert (endpoint.failures_in_row, endpoint.failing_since, endpoint.paused_until) == (0, None, None)


def test_a_failing_endpoint_costs_one_attempt_a_round(
    endpoint: WebhookEndpoint, receiver: Receiver, say: Any, send: Any, clock: Clock
) -> None:
    receiver.will_answer(Answer(500))
    say("first")
    send()
    for number in range(30):
        say(number)
    clock.forward(seconds=10)
    assert (send(), send()) == (1, 0)  # and then it has a moment's rest
    receiver.will_answer(Answer(204))
    clock.forward(minutes=2)
    assert send() == 31
    assert WebhookDelivery.objects.filter(state=State.DELIVERED).count() == 31


def test_a_redirect_is_a_failure_and_is_not_followed(
    endpoint: WebhookEndpoint, receiver: Receiver, say: Any, send: Any
) -> None:
    receiver.will_answer(Answer(302, {"Location": receiver.url("/elsewhere")}))
    say("low")
    send()
    assert WebhookDelivery.objects.get().last_error == "HTTP 302."
    assert receiver.at("/elsewhere") == []


def test_nobody_at_home_is_a_named_failure(endpoint: WebhookEndpoint, say: Any, send: Any, receiver: Receiver) -> None:
    WebhookEndpoint.objects.update(url="http://127.0.0.1:9/in")
    say("low")
    send()
    row = WebhookDelivery.objects.get()
    assert (row.last_status, row.state) == (None, State.PENDING)
    assert row.last_error.startswith("ConnectError")


# --- hostile receivers -----------------------------------------------------------------------------------------------
def test_an_answer_that_never_comes_is_waited_for_so_long_and_no_longer(
    endpoint: WebhookEndpoint, receiver: Receiver, say: Any, send: Any, settings: Any
) -> None:
    settings.WEBHOOK_TIMEOUT_SECONDS = 0.3
    never = threading.Event()
    receiver.will_answer(Answer(waits=never))
    say("low")
    send()
    never.set()
    row = WebhookDelivery.objects.get()
    assert (row.last_status, row.last_error) == (None, "No answer within 0.3 s.")


def test_an_answer_without_end_counts_by_its_status(
    endpoint: WebhookEndpoint, receiver: Receiver, say: Any, send: Any, settings: Any
) -> None:
    settings.WEBHOOK_TIMEOUT_SECONDS = 3  # its beginning must come within that
    receiver.will_answer(Answer(200, drips=True))
    say("low")
    send()
    assert WebhookDelivery.objects.get().state == State.DELIVERED


def test_of_a_long_answer_only_the_beginning_is_kept(
    endpoint: WebhookEndpoint, receiver: Receiver, say: Any, send: Any
) -> None:
    receiver.will_answer(Answer(400, body=b"x" * 500_000))
    say("low")
    send()
    assert WebhookDelivery.objects.get().response_snippet == "x" * 1024


def test_an_address_that_leads_inside_is_never_called(
    endpoint: WebhookEndpoint, receiver: Receiver, say: Any, send: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE_HOSTS = False
    say("plain")
    send()
    row = WebhookDelivery.objects.get()
    assert "is not a plain https address" in row.last_error
    WebhookEndpoint.objects.update(url="https://hooks.example/in", paused_until=None)
    inside = [(2, 1, 6, "", ("127.0.0.1", 443))]
    monkeypatch.setattr(outbound.socket, "getaddrinfo", lambda *_, **__: inside)
    WebhookDelivery.objects.update(next_attempt_at=row.created_at)
    send()
    row.refresh_from_db()
    assert row.last_error == "https://hooks.example/in leads into a private network."
    assert receiver.received == []


# --- side by side ----------------------------------------------------------------------------------------------------
def a_round(clock: Clock) -> None:
    """In a thread of its own, as a second worker would."""
    try:
        sending.send_round(clock=clock)
    finally:
        connection.close()


def test_a_slow_endpoint_holds_up_nobody_else(
    make_endpoint: Callable[..., WebhookEndpoint], receiver: Receiver, say: Any, clock: Clock
) -> None:
    slow, fast = make_endpoint("/slow"), make_endpoint("/fast")
    let_go = threading.Event()
    receiver.will_answer(Answer(waits=let_go), path="/slow")
    say("first")
    clock.forward(seconds=1)
    rounds = threading.Thread(target=a_round, args=(clock,))
    rounds.start()
    try:
        done = WebhookDelivery.objects.filter(endpoint=fast, state=State.DELIVERED)
        free = WebhookEndpoint.objects.filter(pk=fast.pk, busy_until__lte=clock())
        wait_for("the fast one", lambda: done.count() == 1 and receiver.at("/slow"))
        wait_for("its sender to let go of it", free.exists)  # or the first round would send the second message, too
        say("second")
        clock.forward(seconds=1)
        assert sending.send_round(clock=clock) == 1  # another round
        assert done.count() == 2
        assert WebhookDelivery.objects.filter(endpoint=slow, state=State.PENDING).count() == 2
    finally:
        let_go.set()
        rounds.join(60)
    assert WebhookDelivery.objects.filter(endpoint=slow, state=State.DELIVERED).count() == 2


def test_rounds_at_the_same_time_send_each_message_once(
    make_endpoint: Callable[..., WebhookEndpoint], receiver: Receiver, say: Any, clock: Clock
) -> None:
    for number in range(4):
        make_endpoint(f"/{number}")
    for key in range(30):
        say(key)
    clock.forward(seconds=1)
    rounds = [threading.Thread(target=a_round, args=(clock,)) for _ in range(4)]
    for each in rounds:
        each.start()
    for each in rounds:
        each.join(60)
    while sending.send_round(clock=clock):
        pass
    sent = [(request.path, request.headers["webhook-id"]) for request in receiver.received]
    assert len(sent) == len(set(sent)) == 4 * 30
    assert set(WebhookDelivery.objects.values_list("state", "attempts")) == {(State.DELIVERED, 1)}


def test_what_a_dead_sender_held_is_sent_when_its_lease_ends(
    endpoint: WebhookEndpoint, receiver: Receiver, say: Any, send: Any, clock: Clock
) -> None:
    say("low")
    clock.forward(seconds=1)
    [endpoint_id] = deliveries.claim_endpoints(now=clock())
    [post] = deliveries.claim(endpoint_id=endpoint_id, now=clock())  # and then its process dies
    assert send() == 0
    clock.now += deliveries.lease()
    assert send() == 1
    assert receiver.received[0].headers["webhook-id"] == post.message_id
    assert WebhookDelivery.objects.get().attempts == 2
