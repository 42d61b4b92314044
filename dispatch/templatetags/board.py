"""Small words of our templates: icons, rupees, kilowatts, sparklines, and the map of script modules."""

import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

from django import template
from django.conf import settings
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from fleetcharge.lib import money

register = template.Library()
SCRIPTS = Path(settings.BASE_DIR) / "static" / "js"
IMPORTED = re.compile(r"""^(?:import|export)\b[^;()]*?["']fc/([\w/-]+)["']""", re.MULTILINE)


@register.simple_tag
def icon(name: str, tone: str = "") -> SafeString:
    """One symbol of partials/icons.html, hidden from screen readers."""
    return format_html('<svg class="i {}" aria-hidden="true"><use href="#i-{}"/></svg>', tone, name)


@register.filter
def inr(amount_paise: int | None) -> str:
    """`34120850` -> `₹3,41,208.50`; a dash when nothing is known."""
    return "–" if amount_paise is None else money.format_inr(amount_paise)


@register.filter
def rupees(amount_paise: int | Literal[""] | None) -> str:
    """For a field: `2500050` -> `25000.50`, without decimals that say nothing; empty when nothing is known."""
    if amount_paise is None or amount_paise == "":
        return ""
    whole, rest = divmod(amount_paise, money.PAISE_PER_RUPEE)
    return f"{whole}.{rest:02d}" if rest else str(whole)


@register.filter
def grouped(number: int | None) -> str:
    return "–" if number is None else money.group_indian(int(number))


@register.filter
def kilo(value: int | None) -> str:
    """Watts as kW, watt-hours as kWh, without a decimal that says nothing."""
    return "–" if value is None else money.group_indian(round(value / 1000))


@register.filter
def kwh(energy_wh: int | None) -> str:
    """`490` -> `0.5 kWh`, `123456700` -> `1,23,456.7 kWh`; one decimal, as a receipt shows it."""
    if energy_wh is None:
        return "–"
    whole, tenth = divmod(round(energy_wh / 100), 10)
    return f"{money.group_indian(whole)}.{tenth} kWh"


@register.filter
def megawatt(value_w: int | None) -> str:
    """`7900000` -> `7.9 MW`, `48000` -> `48 kW`."""
    value = value_w or 0
    return f"{value / 1e6:.1f} MW" if value >= 1_000_000 else f"{round(value / 1000)} kW"


@register.filter
def percent_of(part: int, whole: int) -> int:
    return round(100 * part / whole) if whole else 0


@register.filter
def per_minute(paise_per_hour: int | None) -> str:
    return "–" if paise_per_hour is None else money.format_inr(round(paise_per_hour / 60))


@register.simple_tag
def spark(values: Sequence[int] | None) -> SafeString:
    """A line of ten points, 64 by 24, in the colour of its surroundings."""
    points = list(values or [])
    if len(points) < 2:
        return mark_safe('<svg viewBox="0 0 64 24" aria-hidden="true"></svg>')
    low, high = min(0, *points), max(*points, 1)
    step = 64 / (len(points) - 1)
    line = " ".join(f"{x * step:.1f},{22 - (y - low) / (high - low) * 19:.1f}" for x, y in enumerate(points))
    return format_html(
        '<svg viewBox="0 0 64 24" aria-hidden="true">'
        '<polygon points="0,24 {} 64,24" fill="currentColor" opacity=".12"/>'
        '<polyline points="{}" fill="none" stroke="currentColor" stroke-width="1.6"/></svg>',
        line,
        line,
    )


@register.simple_tag(takes_context=True)
def script_modules(context: dict[str, Any]) -> SafeString:
    """An import map from `fc/<name>` to the (hashed) address of every module under static/js."""
    names = sorted(path.relative_to(SCRIPTS).with_suffix("").as_posix() for path in SCRIPTS.rglob("*.js"))
    imports = {f"fc/{name}": static(f"js/{name}.js") for name in names}
    text = json.dumps({"imports": imports}).replace("<", "\\u003c")
    return format_html(
        '<script type="importmap" nonce="{}">{}</script>',
        context.get("csp_nonce", ""),
        mark_safe(text),  # noqa: S308
    )


@register.simple_tag
def preload_modules(name: str) -> SafeString:
    """Links to a script module and all it needs: fetched at once, not one after the other as each is read."""
    links = ((static(f"js/{module}.js"),) for module in _needed(name))
    return format_html_join("", '<link rel="modulepreload" href="{}">', links)


@cache
def _needed(name: str) -> tuple[str, ...]:
    """The module itself first; what comes later (`import(...)`) is not needed to begin."""
    needed = [name]
    for module in needed:
        found = IMPORTED.findall((SCRIPTS / f"{module}.js").read_text())
        needed += [other for other in dict.fromkeys(found) if other not in needed]
    return tuple(needed)
