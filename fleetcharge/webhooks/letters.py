"""The mail that owners and integrators get when their webhook was switched off; nobody looks at it every day."""

from django.conf import settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _

from fleetcharge.accounts.models import Membership
from fleetcharge.webhooks.models import WebhookEndpoint

KEEPERS = (Membership.Role.OWNER, Membership.Role.INTEGRATOR)


def write_to_keepers(*, endpoint_id: int) -> int:
    """One mail to each; how many. 0 when it is not off any more, or was switched off by a person."""
    endpoint = WebhookEndpoint.objects.given_up().select_related("organisation").filter(pk=endpoint_id).first()
    if endpoint is None:
        return 0
    keepers = Membership.objects.filter(organisation=endpoint.organisation, role__in=KEEPERS, user__is_active=True)
    addresses = sorted({email for email in keepers.values_list("user__email", flat=True) if email})
    desk = reverse("admin:webhooks_webhookendpoint_change", args=[endpoint.pk])
    text = render_to_string(
        "emails/webhook_given_up.txt", {"endpoint": endpoint, "link": f"{settings.PUBLIC_BASE_URL}{desk}"}
    )
    subject = _("%(webhook)s was switched off") % {"webhook": endpoint}
    for address in addresses:
        EmailMessage(subject=subject[:150], body=text, to=[address]).send()
    return len(addresses)
