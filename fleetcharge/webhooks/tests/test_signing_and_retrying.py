"""Signatures as Standard Webhooks has them, and the pauses between attempts."""

from datetime import timedelta

import pytest

from fleetcharge.webhooks import signing
from fleetcharge.webhooks.models import message_id, new_secret
from fleetcharge.webhooks.retrying import LONGEST_PAUSE, PAUSES, pause_after

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # the test vector of the published libraries
MESSAGE, AT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_it_signs_as_the_published_libraries_do() -> None:
    assert signing.signature(SECRET, MESSAGE, AT, BODY) == SIGNATURE


def test_the_headers_carry_a_signature_per_secret() -> None:
    other = new_secret()
    headers = signing.headers([other, SECRET], MESSAGE, AT, BODY)
    assert headers == {
        "webhook-id": MESSAGE,
        "webhook-timestamp": "1614265330",
        "webhook-signature": f"{signing.signature(other, MESSAGE, AT, BODY)} {SIGNATURE}",
    }


def test_secrets_and_ids_never_repeat() -> None:
    assert len({new_secret() for _ in range(100)} | {message_id() for _ in range(100)}) == 200
    assert signing.signature(new_secret(), MESSAGE, AT, BODY) != SIGNATURE


def test_something_else_is_no_secret() -> None:
    with pytest.raises(ValueError, match="whsec_ and base64"):
        signing.signature("whsec_not base64!", MESSAGE, AT, BODY)


def test_pauses_grow_with_a_tenth_of_jitter_and_end() -> None:
    for attempts, pause in enumerate(PAUSES, start=1):
        drawn = [pause_after(attempts, seed=seed) for seed in range(50)]
        assert all(found is not None and pause * 0.9 <= found <= pause * 1.1 for found in drawn)
        assert len(set(drawn)) > 40
        assert pause_after(attempts, seed=7) == pause_after(attempts, seed=7)
    assert pause_after(len(PAUSES) + 1) is None


def test_what_the_receiver_asks_for_is_a_minimum_up_to_a_day() -> None:
    assert pause_after(1, asked=timedelta(minutes=5)) == timedelta(minutes=5)
    assert pause_after(5, asked=timedelta(seconds=1)) == pause_after(5)
    assert pause_after(1, asked=timedelta(days=30)) == LONGEST_PAUSE
