"""Who may decide hears by letter what waits, and who asked what became of it; written with the fact."""

from typing import Any

from billing.approvals import people, services
from billing.approvals.models import Approval
from billing.events import ApprovalAsked, ApprovalDecided
from billing.notices import writing
from billing.notices.models import Letter
from fleetcharge.accounts.models import User
from fleetcharge.lib.events import record

SILENT = {Approval.State.FREE, Approval.State.WITHDRAWN}


@record(ApprovalAsked)
def tell_who_may_decide(event: ApprovalAsked) -> None:
    approval = Approval.objects.select_related("asked_by").get(pk=event.approval_id)
    readers = people.approvers(approval, is_ours=approval.kind in services.ours())
    _write(approval, Letter.Kind.APPROVAL_ASKED, readers, event.at)


@record(ApprovalDecided)
def tell_who_asked(event: ApprovalDecided) -> None:
    if event.state in SILENT:
        return
    approval = Approval.objects.select_related("asked_by", "decided_by").get(pk=event.approval_id)
    readers = User.objects.filter(pk=approval.asked_by_id, is_active=True).exclude(email="")
    _write(approval, Letter.Kind.APPROVAL_DECIDED, readers, event.at)


def _write(approval: Approval, kind: str, readers: Any, at: Any) -> None:
    facts = {
        "approval_id": approval.pk, "title": approval.title, "kind": approval.kind, "state": approval.state,
        "amount_paise": approval.amount_paise, "asked_by": str(approval.asked_by), "reason": approval.reason,
        "decided_by": str(approval.decided_by or ""), "because": approval.decided_because,
    }  # fmt: skip
    writing.write(
        organisation_id=approval.organisation_id, kind=kind, key=str(approval.pk), facts=facts, now=at, readers=readers
    )
