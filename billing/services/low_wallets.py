"""A wallet that falls below its warning limit is a fact once, until it was above it again."""

from datetime import datetime

from django.db import transaction

from billing.models import Wallet


@transaction.atomic
def became_low(*, organisation_id: int, available_paise: int, now: datetime) -> Wallet | None:
    """The wallet, the first time it is seen below its limit; None otherwise. Above it, the next fall counts again."""
    wallet = Wallet.objects.select_related("account").filter(organisation_id=organisation_id).first()
    if wallet is None:
        return None
    if available_paise >= wallet.low_threshold_paise:
        Wallet.objects.filter(pk=wallet.pk).exclude(low_since=None).update(low_since=None)
        return None
    return wallet if Wallet.objects.filter(pk=wallet.pk, low_since=None).update(low_since=now) else None
