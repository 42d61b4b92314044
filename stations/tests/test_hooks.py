"""Vendors push over real HTTP: who is believed, what is had once, what wins, and what every entry is told."""

from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import httpx
import orjson
import pytest
from django.utils import timezone

from stations.cpo.webhooks import counting, receiver, route
from stations.cpo.webhooks.judging import Push
from stations.cpo.webhooks.models import DeadLetter, WebhookFeed, WebhookPush
from stations.models import Connector, Source, StatusChange
from stations.news import announcer
from stations.tests.hooks import SECRET, Hooks, before, codes, entry, make_feed, make_plug
from stations.tests.serving import serve

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    with serve(route.hooks) as base:
        yield Hooks(base)
    route.threads.close()
    announcer.close()


@pytest.fixture
def feed() -> WebhookFeed:
    return make_feed()


def shown(connector: Connector) -> str:
    return Connector.objects.get(pk=connector.pk).status


def days() -> list[date]:
    """Of this test, should midnight fall into it."""
    today = timezone.now().date()
    return [today - timedelta(days=1), today]


def counted(feed: WebhookFeed) -> dict[str, int]:
    return dict(sum((Counter(counting.counts_of(feed.pk, day)) for day in days()), Counter[str]()))


# --- one push -------------------------------------------------------------------------------------------------------
def test_a_signed_push_is_committed_before_it_is_answered(hooks: Hooks, feed: WebhookFeed) -> None:
    plug = make_plug(feed, "E1")
    answer = hooks.tell(entry("E1", "charging"))
    assert (answer.status_code, answer.json()) == (
        200, {"received": 1, "taken": 1, "duplicate": False, "results": [{"index": 0, "code": "applied"}]},
    )  # fmt: skip
    assert shown(plug) == "charging"
    push = WebhookPush.objects.get()
    assert push.outcomes == {"applied": 1}
    assert push.applied_at is not None
    assert orjson.loads(bytes(push.raw))["entries"][0]["evse"] == "E1"
    feed.source.refresh_from_db()
    assert feed.source.state == Source.State.CONNECTED
    assert feed.source.last_push_at == push.received_at
    assert StatusChange.objects.get().new == "charging"


def test_every_entry_is_told_what_became_of_it(hooks: Hooks, feed: WebhookFeed) -> None:
    good, old = make_plug(feed, "E1"), make_plug(feed, "E2")
    hooks.tell(entry("E2", "available", ago=10))
    answer = hooks.tell(
        entry("E1", "charging"),
        entry("E9", "charging"),
        entry("E2", "charging", ago=60),
        {"status": "charging"},
        {"evse": "E1"},
        {"evse": "E1", "status": "available", "at": "yesterday"},
        entry("e1", "quite full", ago=-1),
        "no object at all",
    )
    assert answer.status_code == 200
    assert codes(answer) == [
        "applied", "unknown_evse", "stale", "no_evse", "no_status", "bad_time", "unknown_word", "no_evse",
    ]  # fmt: skip
    assert answer.json()["taken"] == 3
    assert (shown(good), shown(old)) == ("unknown", "available")
    assert sorted(DeadLetter.objects.values_list("code", flat=True)) == [
        "bad_time", "no_evse", "no_evse", "no_status", "unknown_evse",
    ]  # fmt: skip
    assert counted(feed) == {
        "applied": 2, "bad_time": 1, "no_evse": 2, "no_status": 1, "pushes": 2, "stale": 1, "unknown_evse": 1,
        "unknown_word": 1,
    }  # fmt: skip


# --- the same again, and the other way round ------------------------------------------------------------------------
def test_the_very_same_push_again_changes_nothing_and_is_answered_alike(hooks: Hooks, feed: WebhookFeed) -> None:
    plug = make_plug(feed, "E1")
    raw = orjson.dumps({"entries": [entry("E1", "charging", ago=5), entry("E9", "free")]})
    headers = hooks.signed(raw)
    first = hooks.push(raw, headers=headers)
    hooks.tell(entry("E1", "available", ago=1))
    again = hooks.push(raw, headers=headers)
    assert again.status_code == 200
    assert again.json() == {**first.json(), "duplicate": True}
    assert shown(plug) == "available"
    assert (WebhookPush.objects.count(), counted(feed)["duplicate"]) == (2, 1)


def test_an_event_id_makes_a_push_known_however_it_is_signed(hooks: Hooks, feed: WebhookFeed) -> None:
    plug = make_plug(feed, "E1")
    hooks.push({"id": "evt-7", "entries": [entry("E1", "charging", ago=9)]})
    again = hooks.push({"id": "evt-7", "entries": [entry("E1", "available", ago=1)]})
    assert again.json()["duplicate"]
    assert shown(plug) == "charging"


def test_an_event_id_may_be_as_long_as_a_digest(hooks: Hooks, feed: WebhookFeed) -> None:
    make_plug(feed, "E1")
    pushed = [hooks.push({"id": "f" * 64, "entries": [entry("E1", "charging")]}) for _ in range(2)]
    assert [answer.status_code for answer in pushed] == [200, 200]
    assert [answer.json()["duplicate"] for answer in pushed] == [False, True]


def test_without_any_time_two_equal_pushes_are_two_facts(hooks: Hooks) -> None:
    feed = make_feed(signed="{body}", timestamp_header="")
    plug = make_plug(feed, "E1")
    for word in ("available", "charging", "available"):
        raw = orjson.dumps({"entries": [{"evse": "E1", "status": word}]})
        assert codes(hooks.push(raw, headers=plain_signature(raw))) == ["applied"]
    assert shown(plug) == "available"
    assert StatusChange.objects.count() == 3


def plain_signature(raw: bytes) -> dict[str, str]:
    import hashlib
    import hmac

    return {"X-Signature": "sha256=" + hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_in_whatever_order_news_come_the_newest_wins(hooks: Hooks, feed: WebhookFeed, order: tuple[int, ...]) -> None:
    plug = make_plug(feed, "E1")
    news = [entry("E1", "available", ago=30), entry("E1", "charging", ago=20), entry("E1", "out_of_order", ago=10)]
    for number in order:
        assert hooks.tell(news[number]).status_code == 200
    assert shown(plug) == "faulted"


def test_one_push_with_a_whole_story_ends_with_its_last_word_and_keeps_the_story(
    hooks: Hooks, feed: WebhookFeed
) -> None:
    plug = make_plug(feed, "E1")
    answer = hooks.tell(entry("E1", "error", ago=1), entry("E1", "available", ago=30), entry("E1", "charging", ago=20))
    assert codes(answer) == ["applied", "applied", "applied"]
    assert shown(plug) == "faulted"
    assert list(StatusChange.objects.order_by("pk").values_list("old", "new")) == [
        ("unknown", "available"), ("available", "charging"), ("charging", "faulted"),
    ]  # fmt: skip


def test_news_from_the_future_happened_when_they_came(hooks: Hooks, feed: WebhookFeed) -> None:
    plug = make_plug(feed, "E1")
    hooks.tell(entry("E1", "charging", ago=-3600))
    assert hooks.tell(entry("E1", "available", ago=-1)).status_code == 200
    plug.refresh_from_db()
    assert plug.status == "available"
    assert counted(feed)["clock_ahead"] == 1


# --- who is believed ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda headers: headers | {"X-Signature": headers["X-Signature"].replace("a", "b").replace("1", "2")},
         "wrong_signature"),
        (lambda headers: {"X-Timestamp": headers["X-Timestamp"]}, "no_signature"),
        (lambda headers: {"X-Signature": headers["X-Signature"]}, "no_timestamp"),
        (lambda headers: headers | {"X-Timestamp": str(float(headers["X-Timestamp"]) + 1)}, "wrong_signature"),
        (lambda headers: headers | {"X-Signature": ""}, "no_signature"),
    ],
)  # fmt: skip
def test_who_is_not_believed_is_told_why_and_changes_nothing(
    hooks: Hooks, feed: WebhookFeed, spoil: Any, code: str
) -> None:
    plug = make_plug(feed, "E1")
    raw = orjson.dumps({"entries": [entry("E1", "charging")]})
    answer = hooks.push(raw, headers=spoil(hooks.signed(raw)))
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert shown(plug) == "unknown"
    assert not WebhookPush.objects.exists()
    assert counted(feed) == {code: 1}


def test_an_old_push_is_a_replay_whoever_signed_it(hooks: Hooks, feed: WebhookFeed) -> None:
    raw = orjson.dumps({"entries": [entry("E1", "charging")]})
    for seconds in (-400, 400):
        answer = hooks.push(raw, at=timezone.now().timestamp() + seconds)
        assert (answer.status_code, answer.json()["code"]) == (401, "expired")
    assert hooks.push(raw, at=timezone.now().timestamp() - 200).status_code == 200


def test_two_secrets_are_believed_while_a_vendor_changes_over(hooks: Hooks, feed: WebhookFeed) -> None:
    feed.old_secret_encrypted, feed.secret = feed.secret_encrypted, "the new one of the vendor"
    feed.save()
    make_plug(feed, "E1")
    assert hooks.tell(entry("E1", "free")).status_code == 200
    feed.refresh_from_db()
    assert feed.old_secret_used_at is not None
    assert hooks.tell(entry("E1", "free"), secret="the new one of the vendor").status_code == 200
    WebhookFeed.objects.update(old_secret_encrypted="")
    assert hooks.tell(entry("E1", "free")).status_code == 401
    assert SECRET not in feed.old_secret_encrypted


def test_a_feed_may_be_tied_to_addresses(hooks: Hooks, feed: WebhookFeed) -> None:
    WebhookFeed.objects.update(allowed_addresses=["203.0.113.0/24"])
    assert hooks.tell(entry("E1", "free")).json()["code"] == "wrong_address"
    WebhookFeed.objects.update(allowed_addresses=["203.0.113.0/24", "127.0.0.1"])
    assert hooks.tell(entry("E1", "free")).status_code == 200


def test_a_feed_that_is_not_there_or_switched_off_takes_nothing(hooks: Hooks, feed: WebhookFeed) -> None:
    Source.objects.update(state=Source.State.DISABLED)
    for slug in ("kaveri", "nobody", ""):
        assert hooks.tell(slug=slug).json()["code"] == "unknown_feed"
    Source.objects.update(state=Source.State.CONNECTED)
    assert hooks.tell(method="GET").status_code == 405


@pytest.mark.usefixtures("one_window")
def test_who_keeps_guessing_is_told_to_wait(hooks: Hooks, feed: WebhookFeed) -> None:
    answers = [hooks.push({}, secret="guess") for _ in range(31)]
    assert {answer.status_code for answer in answers[:30]} == {401}
    assert answers[30].status_code == 429
    assert 0 < int(answers[30].headers["Retry-After"]) <= 60
    assert hooks.tell().status_code == 200  # the right secret is never kept out


@pytest.mark.usefixtures("one_window")
def test_a_network_past_its_rate_is_told_to_wait(hooks: Hooks, feed: WebhookFeed, settings: Any) -> None:
    settings.OCPI_PUSH_RATE = "3/hour"
    answers = [hooks.tell(entry("E1", "free", ago=number)) for number in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert int(answers[3].headers["Retry-After"]) > 0


@pytest.mark.usefixtures("one_window")
def test_of_one_batch_only_the_pushes_past_the_rate_wait(feed: WebhookFeed, settings: Any) -> None:
    other = make_feed(slug="other")
    plugs = [make_plug(feed, f"E{number}") for number in range(5)]
    settings.OCPI_PUSH_RATE = "3/hour"
    pushes = [push_of(entry(f"E{number}", "charging")) for number in range(5)]
    pushes.insert(1, push_of(entry("E1", "charging"), slug="other"))
    pushes.insert(2, push_of(entry("E1", "charging"), secret="wrong"))
    answers = receiver.receive(pushes)
    assert [answer.http for answer in answers] == [200, 200, 401, 200, 200, 429, 429]
    assert all(answer.wait_seconds > 0 for answer in answers[5:])
    assert [shown(plug) for plug in plugs] == ["charging"] * 3 + ["unknown"] * 2
    assert (counted(feed)["pushes"], counted(feed)["throttled"], counted(other)["pushes"]) == (3, 2, 1)


def push_of(*entries: Any, slug: str = "kaveri", secret: str = SECRET) -> Push:
    raw = orjson.dumps({"entries": list(entries)})
    headers = {name.lower(): value for name, value in Hooks("").signed(raw, secret).items()}
    return Push(slug, (), "POST", f"/hooks/{slug}", headers, raw, "127.0.0.1", timezone.now())


def test_what_is_changed_of_a_feed_holds_for_the_next_push(hooks: Hooks, feed: WebhookFeed) -> None:
    """Though it is remembered; by an update that no signal tells of, as another process makes it."""
    plug = make_plug(feed, "E1")
    assert codes(hooks.tell(entry("E1", "free", ago=9))) == ["applied"]
    assert codes(hooks.tell(entry("E1", "free", ago=8))) == ["applied"]
    WebhookFeed.objects.update(mapping={**feed.mapping, "words": {"free": "faulted"}})
    assert codes(hooks.tell(entry("E1", "free", ago=7))) == ["applied"]
    assert shown(plug) == "faulted"
    WebhookFeed.objects.update(window_seconds=1)
    assert hooks.tell(entry("E1", "free"), at=before(60).timestamp()).json()["code"] == "expired"
    feed.secret = "another-secret-of-32-characters!"
    WebhookFeed.objects.update(secret_encrypted=feed.secret_encrypted)
    assert hooks.tell(entry("E1", "charging", ago=6)).json()["code"] == "wrong_signature"
    Source.objects.update(state=Source.State.DISABLED)
    assert hooks.tell(entry("E1", "charging", ago=5)).status_code == 404
    assert shown(plug) == "faulted"


# --- what cannot be used, and how much ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("raw", "http", "code"),
    [
        (b"<html>Wartung</html>", 400, "not_json"),
        (b"", 400, "not_json"),
        (b'{"entries": 7}', 400, "no_entries"),
        (b'"text"', 400, "no_entries"),
        (orjson.dumps({"entries": [{}] * 5001}), 413, "too_many_entries"),
    ],
)
def test_a_push_that_cannot_be_read_is_named_counted_and_kept(
    hooks: Hooks, feed: WebhookFeed, raw: bytes, http: int, code: str
) -> None:
    answer = hooks.push(raw)
    assert (answer.status_code, answer.json()["code"]) == (http, code)
    assert bytes(WebhookPush.objects.get().raw) == raw
    assert DeadLetter.objects.get().code == code
    assert counted(feed) == {"pushes": 1, code: 1}


def test_a_body_of_more_than_a_megabyte_is_refused(hooks: Hooks, feed: WebhookFeed) -> None:
    answer = hooks.push(b"x" * (1024 * 1024 + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_nul_characters_and_surrogates_do_not_stop_a_push(hooks: Hooks, feed: WebhookFeed) -> None:
    plug = make_plug(feed, "E1")
    raw = b'{"entries": [{"evse": "E\\u00001", "status": "char\\u0000ging"}, {"evse": "\\u0000", "status": "\\u0000"}]}'
    assert codes(hooks.push(raw)) == ["applied", "no_evse"]
    assert shown(plug) == "charging"


def test_five_thousand_entries_are_one_batch_with_an_answer_each(
    hooks: Hooks, feed: WebhookFeed, django_assert_max_num_queries: Any
) -> None:
    plugs = [make_plug(feed, f"E{number}") for number in range(40)]
    entries = [
        entry(f"E{number % 50}", "charging" if number % 3 else "free", ago=5000 - number) for number in range(5000)
    ]
    slim = [{"evse": each["evse"], "status": each["status"], "at": each["at"][:23] + "Z"} for each in entries]
    answer = hooks.push({"entries": slim})
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [result["index"] for result in results] == list(range(5000))
    assert sum(result["code"] == "unknown_evse" for result in results) == 1000
    assert DeadLetter.objects.count() == 10  # one for each EVSE nobody knows
    assert sorted(set(DeadLetter.objects.values_list("times", flat=True))) == [100]
    for number, plug in enumerate(plugs):
        last = max(n for n in range(5000) if n % 50 == number)
        assert shown(plug) == ("charging" if last % 3 else "available")


def test_a_batch_costs_the_same_statements_however_long_it_is(
    feed: WebhookFeed, django_assert_num_queries: Any
) -> None:
    for number in range(30):
        make_plug(feed, f"E{number}")

    def push(count: int, age: int) -> Push:
        raw = orjson.dumps({"entries": [entry(f"E{number}", "charging", ago=age) for number in range(count)]})
        headers = {name.lower(): value for name, value in Hooks("").signed(raw).items()}
        return Push("kaveri", (), "POST", "/hooks/kaveri", headers, raw, "127.0.0.1", timezone.now())

    receiver.receive([push(30, 100)])  # noted, connected, and every plug in its state
    receiver.receive([push(1, 95)])  # the feed as it is now is known
    with django_assert_num_queries(9):  # begin and commit among them
        receiver.receive([push(1, 90)])
    with django_assert_num_queries(9):
        receiver.receive([push(30, 80), push(30, 70), push(7, 60)])


# --- dead letters ---------------------------------------------------------------------------------------------------
def test_what_came_before_its_evse_is_applied_when_the_evse_comes(hooks: Hooks, feed: WebhookFeed) -> None:
    from stations.cpo.webhooks.tasks import sweep_feeds

    assert codes(hooks.tell(entry("E7", "charging", ago=20), entry("E8", "free", ago=20))) == ["unknown_evse"] * 2
    assert sweep_feeds() == 0
    plug = make_plug(feed, "E7")
    assert sweep_feeds() == 1
    assert shown(plug) == "charging"
    assert list(DeadLetter.objects.waiting().values_list("subject", flat=True)) == ["E8"]


def test_a_replay_reads_the_push_by_todays_mapping(hooks: Hooks, feed: WebhookFeed) -> None:
    from stations.cpo.webhooks import letters

    plug = make_plug(feed, "E1")
    body = {"entries": [{"evse": "E1", "condition": "charging", "at": before(20).isoformat()}]}
    assert codes(hooks.push(body)) == ["no_status"]
    letter = DeadLetter.objects.get()
    assert letters.replay([letter.pk], now=timezone.now()) == {"no_status": 1}
    assert DeadLetter.objects.waiting().exists()
    feed.mapping = {**feed.mapping, "status": "status|condition"}
    feed.save()
    assert letters.replay([letter.pk], now=timezone.now()) == {"applied": 1}
    assert shown(plug) == "charging"
    assert not DeadLetter.objects.waiting().exists()


def test_a_replay_never_beats_newer_news(hooks: Hooks, feed: WebhookFeed) -> None:
    from stations.cpo.webhooks import letters

    hooks.tell(entry("E1", "faulted", ago=60))
    plug = make_plug(feed, "E1")
    hooks.tell(entry("E1", "free", ago=5))
    assert letters.replay(DeadLetter.objects.values_list("pk", flat=True), now=timezone.now()) == {"stale": 1}
    assert shown(plug) == "available"


def test_the_inbox_forgets_what_nobody_needs(hooks: Hooks, feed: WebhookFeed) -> None:
    from stations.cpo.webhooks.tasks import prune_feeds

    make_plug(feed, "E1")
    hooks.tell(entry("E1", "free"))
    hooks.tell(entry("E9", "free"))
    WebhookPush.objects.update(received_at=timezone.now() - timedelta(days=3))
    assert prune_feeds() == 1
    assert WebhookPush.objects.get().outcomes == {"unknown_evse": 1}


def test_lag_is_told_in_percentiles(hooks: Hooks, feed: WebhookFeed) -> None:
    make_plug(feed, "E1")
    for ago in (3000, 20, 15):
        hooks.tell(entry("E1", "free", ago=ago))
    assert counting.lag_percentiles(feed.pk, days()) == [30_000, 3_600_000]


def test_an_answer_is_never_given_for_what_is_not_kept(hooks: Hooks, feed: WebhookFeed, monkeypatch: Any) -> None:
    """The database goes away in the middle: the vendor is asked to try again, and then it is taken once."""
    from django.db import OperationalError

    from stations.cpo.webhooks import letters

    plug = make_plug(feed, "E1")
    whole = letters.write
    monkeypatch.setattr(letters, "write", lambda pushes: (_ for _ in ()).throw(OperationalError("gone")))
    raw = orjson.dumps({"entries": [entry("E1", "charging")]})
    headers = hooks.signed(raw)
    answer = hooks.push(raw, headers=headers)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert (shown(plug), WebhookPush.objects.count()) == ("unknown", 0)
    monkeypatch.setattr(letters, "write", whole)
    assert codes(hooks.push(raw, headers=headers)) == ["applied"]
    assert shown(plug) == "charging"


def test_many_vendors_push_at_once_and_nothing_is_lost(hooks: Hooks) -> None:
    from concurrent.futures import ThreadPoolExecutor

    feeds = [make_feed(slug=f"vendor-{number}") for number in range(4)]
    plugs = {feed.source.slug: make_plug(feed, "E1") for feed in feeds}

    def tell(number: int) -> int:
        feed = feeds[number % 4]
        with httpx.Client(timeout=60, trust_env=False) as http:
            own = Hooks(hooks.base, http)
            return own.tell(entry("E1", "charging", ago=100 - number), slug=feed.source.slug).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(tell, range(80))) == {200}
    assert {shown(plug) for plug in plugs.values()} == {"charging"}
    assert WebhookPush.objects.count() == 80


def test_rubbish_and_copies_keep_no_status_alive(hooks: Hooks, feed: WebhookFeed) -> None:
    make_plug(feed, "E1")
    raw = orjson.dumps({"entries": [entry("E1", "free")]})
    headers = hooks.signed(raw)
    hooks.push(raw, headers=headers)
    long_ago = timezone.now() - timedelta(hours=1)
    Source.objects.update(last_push_at=long_ago)
    assert hooks.push(raw, headers=headers).json()["duplicate"]
    assert hooks.push(b"<html>").status_code == 400
    assert hooks.push(raw, secret="wrong").status_code == 401
    assert Source.objects.get().last_push_at == long_ago
    assert hooks.tell(entry("E9", "free")).status_code == 200
    assert Source.objects.get().last_push_at != long_ago


def test_two_processes_with_the_very_same_push_apply_it_once(feed: WebhookFeed) -> None:
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier

    from django.db import connections

    make_plug(feed, "E1")
    raw = orjson.dumps({"entries": [entry("E1", "charging")]})
    headers = {name.lower(): value for name, value in Hooks("").signed(raw).items()}
    push = Push("kaveri", (), "POST", "/hooks/kaveri", headers, raw, "127.0.0.1", timezone.now())
    together = Barrier(4)

    def process() -> Any:
        together.wait(60)
        try:
            return receiver.receive([push])[0].body
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        bodies = [future.result() for future in [pool.submit(process) for _ in range(4)]]
    assert sorted(body["duplicate"] for body in bodies) == [False, True, True, True]
    assert {body["results"][0]["code"] for body in bodies} == {"applied"}
    assert (WebhookPush.objects.count(), StatusChange.objects.count()) == (1, 1)
    assert counted(feed)["applied"] == 1


def test_the_product_listens_where_feeds_are_told_to_push() -> None:
    from fleetcharge import asgi

    assert asgi._find(asgi.HTTP_ROUTES, "/hooks/kaveri/IN/VGR") is route.hooks


def test_when_too_much_waits_the_vendor_keeps_its_push_for_a_moment(
    hooks: Hooks, feed: WebhookFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug = make_plug(feed, "E1")
    monkeypatch.setattr(route, "MAX_WAITING", 0)
    raw = orjson.dumps({"entries": [entry("E1", "charging")]})
    headers = hooks.signed(raw)
    answer = hooks.push(raw, headers=headers)
    assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (503, "busy", "5")
    assert (shown(plug), WebhookPush.objects.count()) == ("unknown", 0)
    monkeypatch.setattr(route, "MAX_WAITING", 1)
    assert codes(hooks.push(raw, headers=headers)) == ["applied"]
