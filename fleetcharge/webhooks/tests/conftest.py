"""A receiver that really listens, and an endpoint of the fleet that leads to it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils import timezone

from fleetcharge.accounts.models import Organisation
from fleetcharge.webhooks import catalogue, services
from fleetcharge.webhooks.models import WebhookEndpoint
from fleetcharge.webhooks.outbox import Fact, tell
from fleetcharge.webhooks.tests.receiver import Receiver
from stations.tests.serving import serve

Said = Callable[..., int]


@pytest.fixture(autouse=True)
def _laboratory(settings: Any) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE_HOSTS = True


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    app = Receiver()
    with serve(app) as base:
        app.base_url = base
        yield app


@pytest.fixture
def make_endpoint(organisation: Organisation, receiver: Receiver) -> Callable[..., WebhookEndpoint]:
    def make(
        path: str = "/in", event_types: list[str] | None = None, of: Organisation | None = None
    ) -> WebhookEndpoint:
        endpoint, _ = services.create_endpoint(
            organisation=of or organisation, url=receiver.url(path),
            event_types=event_types or [catalogue.WALLET_LOW], now=timezone.now(),
        )  # fmt: skip
        return endpoint

    return make


@pytest.fixture
def endpoint(make_endpoint: Callable[..., WebhookEndpoint]) -> WebhookEndpoint:
    return make_endpoint()


@pytest.fixture
def say(organisation: Organisation) -> Said:
    """Put one message into the outbox; how many deliveries wait."""

    def said(key: object, *, of: Organisation | None = None, event_type: str = catalogue.WALLET_LOW) -> int:
        owner = of or organisation
        fact = Fact(owner.pk, key, timezone.now(), {"available_paise": 95_000, "note": f"₹ {key}"})
        return tell(event_type, organisation_id=owner.pk, fact=lambda: fact)

    return said
