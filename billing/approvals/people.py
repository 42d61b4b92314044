"""Who has a say in a wish: who keeps our own books, or owners and finance of the fleet whose money it is."""

from django.db.models import Q, QuerySet

from billing.approvals.models import Approval
from fleetcharge.accounts.models import Membership, User

DECIDERS = (Membership.Role.OWNER, Membership.Role.FINANCE)


def have_a_say(approval: Approval, user: User, is_ours: bool) -> bool:
    """Whatever page the yes comes from; the person who asked is not told apart here."""
    if not user.is_active:
        return False
    if user.is_superuser:
        return True
    return not is_ours and _of_the_fleet(approval.organisation_id).filter(user=user).exists()


def approvers(approval: Approval, *, is_ours: bool) -> QuerySet[User]:
    """Whom to tell that it waits; never who asked."""
    fleet = Q(pk__in=_of_the_fleet(approval.organisation_id).values("user"))
    people = User.objects.filter(Q(is_superuser=True) if is_ours else fleet, is_active=True)
    return people.exclude(pk=approval.asked_by_id).exclude(email="").order_by("pk")


def _of_the_fleet(organisation_id: int) -> QuerySet[Membership]:
    return Membership.objects.filter(organisation=organisation_id, role__in=DECIDERS, user__is_active=True)
