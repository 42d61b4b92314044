"""Keys of our own chargers: made here, shown once, kept as a keyed hash."""

from django.db import transaction

from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit
from fleetcharge.lib import crypto
from stations.models import Charger


@transaction.atomic
def new_charger_key(*, charger_id: int, actor: User | None, reason: str = "") -> str:
    """A fresh Basic-auth key (20 characters, as OCPP 1.6 security profile 1 expects 16 to 20).

    The old one dies, and within seconds the socket that was opened with it.
    """
    key = crypto.new_token(15)
    charger = Charger.objects.select_for_update().get(pk=charger_id)
    charger.auth_key_hash = crypto.keyed_hash(key, purpose=Charger.KEY_PURPOSE)
    charger.next_auth_key_hash = ""
    charger.save(update_fields=["auth_key_hash", "next_auth_key_hash"])
    audit(action="new_key", target=charger, actor=actor, reason=reason)
    return key


@transaction.atomic
def stage_charger_key(*, charger_id: int, actor: User | None, reason: str = "") -> str:
    """The key to come, to be told to the charger (AuthorizationKey, BasicAuthPassword).

    The present key keeps working until the charger has connected with the new one; staging again replaces it.
    """
    key = crypto.new_token(15)
    charger = Charger.objects.select_for_update().get(pk=charger_id)
    charger.next_auth_key_hash = crypto.keyed_hash(key, purpose=Charger.KEY_PURPOSE)
    charger.save(update_fields=["next_auth_key_hash"])
    audit(action="stage_key", target=charger, actor=actor, reason=reason)
    return key


class ProfileOnlyRises(ValueError):
    """A security profile is never lowered (OCPP 2.0.1 part 2 A05.FR.02)."""


@transaction.atomic
def raise_security_profile(*, charger_id: int, profile: int, actor: User | None, reason: str = "") -> None:
    """From now on the charger must prove itself by at least this profile (0 none, 1 key, 2 TLS, 3 certificate).

    An open socket below it is closed within seconds.
    """
    charger = Charger.objects.select_for_update().get(pk=charger_id)
    if profile < charger.min_security_profile:
        raise ProfileOnlyRises(f"{charger.min_security_profile} cannot become {profile}")
    charger.min_security_profile = Charger.SecurityProfile(profile)
    charger.save(update_fields=["min_security_profile"])
    audit(action="raise_security_profile", target=charger, actor=actor, reason=reason)
