"""Keys of our own chargers: made here, shown once, kept as a keyed hash."""

from django.db import transaction

from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit
from fleetcharge.lib import crypto
from stations.models import Charger


@transaction.atomic
def new_charger_key(*, charger_id: int, actor: User | None, reason: str = "") -> str:
    """A fresh Basic-auth key (20 characters, as OCPP 1.6 security profile 1 expects 16 to 20); the old one dies."""
    key = crypto.new_token(15)
    charger = Charger.objects.select_for_update().get(pk=charger_id)
    charger.auth_key_hash = crypto.keyed_hash(key, purpose=Charger.KEY_PURPOSE)
    charger.save(update_fields=["auth_key_hash"])
    audit(action="new_key", target=charger, actor=actor, reason=reason)
    return key
