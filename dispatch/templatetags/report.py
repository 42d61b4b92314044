"""Small words of the reports: hours, kilograms, and a bar that says how much of the whole."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from fleetcharge.lib import money

register = template.Library()


@register.filter
def hours(seconds: int | None) -> str:
    """`5400` -> `1.5 h`, `90` -> `2 min`; a dash when nothing is known."""
    if seconds is None:
        return "–"
    if 0 < seconds < 3600:
        return _("%(minutes)s min") % {"minutes": max(1, round(seconds / 60))}
    whole, tenth = divmod(round(seconds / 360), 10)
    return _("%(hours)s h") % {"hours": f"{money.group_indian(whole)}.{tenth}"}


@register.filter
def kilogram(grams: int | None) -> str:
    """`1234567` -> `1,234.6 kg`; in tonnes from ten of them on."""
    if grams is None:
        return "–"
    per_tenth, unit = (100_000, "t") if grams >= 10_000_000 else (100, "kg")
    whole, tenth = divmod(round(grams / per_tenth), 10)
    return f"{money.group_indian(whole)}.{tenth} {unit}"


@register.simple_tag
def share(part: int, whole: int, tone: str) -> SafeString:
    """A thin bar, for the eye only: the figure stands beside it."""
    width = round(100 * min(part, whole) / whole, 1) if whole > 0 else 0
    return format_html(
        '<svg class="share {}" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="whole" width="100" height="4"/><rect width="{}" height="4" fill="currentColor"/></svg>',
        tone,
        width,
    )
