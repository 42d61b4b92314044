"""More credit for a fleet, or a frozen wallet that thaws: asked by one operator, done by another's yes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_lazy as _

from billing.approvals import services
from billing.approvals.models import Approval
from billing.models import Wallet
from billing.services import wallets
from fleetcharge.accounts.models import Organisation, User
from fleetcharge.lib.api import Conflict
from fleetcharge.lib.money import format_inr

KIND = "wallet_terms"
GUARDED = ("credit_limit_paise", "state")


def change(
    *, organisation_id: int, credit_limit_paise: int, low_threshold_paise: int, state: str, actor: User, reason: str,
    now: datetime,
) -> Approval | None:  # fmt: skip
    """Less credit, freezing and the warning level hold at once (None); more credit or thawing is asked for.

    Raises ValueError as `wallets.change_terms`, Conflict when a wish about this wallet waits already.
    """
    wallet = Wallet.objects.select_related("organisation").get(organisation_id=organisation_id)
    raised = max(0, credit_limit_paise - wallet.credit_limit_paise)
    is_thawing = wallet.state == Wallet.State.FROZEN and state != wallet.state
    after: dict[str, Any] = {
        "credit_limit_paise": credit_limit_paise,
        "low_threshold_paise": low_threshold_paise,
        "state": state,
    }
    if not raised and not is_thawing:
        wallets.change_terms(organisation_id=organisation_id, **after, actor=actor, reason=reason)
        return None
    name = Organisation.objects.values_list("name", flat=True).get(pk=organisation_id)
    what = f"{format_inr(raised)} more credit" if raised else "Thaw the wallet"
    return services.ask(
        kind=KIND, organisation_id=organisation_id, subject=f"wallet:{organisation_id}", title=f"{what} for {name}",
        asked_by=actor, reason=reason, now=now, amount_paise=raised, may_be_free=not is_thawing,
        facts={"before": {name: getattr(wallet, name) for name in after}, "after": after},
    )  # fmt: skip


def _change(approval: Approval, decided_by: User, now: datetime) -> str:
    """Raises Conflict when credit or state are not any more what they were when it was asked."""
    wallet = Wallet.objects.select_for_update().get(organisation_id=approval.organisation_id)
    before, after = approval.facts["before"], approval.facts["after"]
    if any(getattr(wallet, name) != before[name] for name in GUARDED):
        raise Conflict("The wallet's terms have changed since this was asked.", code="changed_meanwhile")
    if wallet.low_threshold_paise != before["low_threshold_paise"]:
        after = {**after, "low_threshold_paise": wallet.low_threshold_paise}  # the fleet's own, set meanwhile
    try:
        wallets.change_terms(
            organisation_id=approval.organisation_id, **after, actor=decided_by, reason=approval.reason
        )
    except ValueError as error:
        raise Conflict(str(error), code="in_use") from error
    return f"wallet:{wallet.pk}"


def _shown(approval: Approval) -> Sequence[tuple[Any, str, str]]:
    before, after = approval.facts["before"], approval.facts["after"]
    money = [(_("Credit limit"), "credit_limit_paise"), (_("Warn below"), "low_threshold_paise")]
    rows = [(label, format_inr(before[name]), format_inr(after[name])) for label, name in money]
    was, will = (str(Wallet.State(facts["state"]).label) for facts in (before, after))
    return [row for row in [*rows, (_("State"), was, will)] if row[1] != row[2]]


services.register(services.Kind(KIND, _("Terms of a wallet"), _change, is_ours=True, shown=_shown))
