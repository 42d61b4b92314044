"""A vendor's feed, the real route that listens, and pushes over real HTTP."""

import hashlib
import hmac
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import orjson
from django.utils import timezone

from fleetcharge.demo.peers import vendor
from stations.cpo.webhooks.models import WebhookFeed
from stations.models import EVSE, Connector, ExternalRef, Source
from stations.tests.factories import make_location

SECRET = "kaveri-secret-of-32-characters!!"
PLAIN: dict[str, Any] = {"evse": "evse", "status": "status", "at": "at", "event_id": "$.id", "entries": "$.entries"}


def make_feed(*, slug: str = "kaveri", kind: str = "webhook", **fields: Any) -> WebhookFeed:
    """A feed that signs `{timestamp}.{body}` with SECRET, unless told otherwise."""
    source = Source.objects.create(slug=slug, name=slug.title(), kind=kind)
    secret = fields.pop("secret", SECRET)
    feed = WebhookFeed(source=source, **{"mapping": PLAIN, **fields})
    feed.secret = secret
    feed.full_clean()
    feed.save()
    return feed


def make_kaveri(base: str = "", **fields: Any) -> WebhookFeed:
    """The feed of Kaveri Charge, as one sets it up in the admin."""
    plan: dict[str, Any] = {"poll": vendor.poll_plan(base), "poll_mapping": vendor.POLL_MAPPING} if base else {}
    feed = make_feed(
        kind="rest-poll" if base else "webhook", mapping=vendor.MAPPING, signature_header=vendor.SIGNATURE_HEADER,
        timestamp_header="", **plan, **fields,
    )  # fmt: skip
    if base:
        feed.poll_key = "kaveri-key"
        feed.save()
    return feed


def make_plug(feed: WebhookFeed, name: str, *, site: str = "", **fields: Any) -> Connector:
    """A connector whose EVSE the vendor calls `name`."""
    location = make_location(source=feed.source)
    evse = EVSE.objects.create(location=location, uid=name[:48])
    key = f"{site}*{name}" if site else name
    ExternalRef.objects.create(source=feed.source, kind="evse", external_key=key, object_id=evse.pk)
    return Connector.objects.create(evse=evse, plug="ccs2", max_power_w=60_000, **fields)


@dataclass
class Hooks:
    """Pushes to one server. Every method returns the answer as it came."""

    base: str
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=60, trust_env=False))

    def push(
        self, body: Any, *, slug: str = "kaveri", path: str = "", method: str = "POST", secret: str = SECRET,
        at: float | None = None, headers: dict[str, str] | None = None,
    ) -> httpx.Response:  # fmt: skip
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        signed = self.signed(raw, secret, at) if headers is None else headers
        return self.http.request(method, f"{self.base}/hooks/{slug}{path}", content=raw, headers=signed)

    def signed(self, raw: bytes, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
        stamp = str(time.time() if at is None else at)
        code = hmac.new(secret.encode(), f"{stamp}.".encode() + raw, hashlib.sha256).hexdigest()
        return {"X-Timestamp": stamp, "X-Signature": code}

    def tell(self, *entries: Any, slug: str = "kaveri", **rest: Any) -> httpx.Response:
        return self.push({"entries": list(entries)}, slug=slug, **rest)


def entry(evse: str, status: str, *, ago: float = 0, **more: Any) -> dict[str, Any]:
    """What PLAIN reads; `ago` is seconds before now."""
    return {"evse": evse, "status": status, "at": before(ago).isoformat(), **more}


def before(seconds: float) -> datetime:
    return timezone.now() - timedelta(seconds=seconds)


def codes(answer: httpx.Response) -> list[str]:
    return [result["code"] for result in answer.json()["results"]]
