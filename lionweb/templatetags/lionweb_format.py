"""How numbers, money, times and durations are written on pages. None is written as a dash."""

import math
from datetime import datetime

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()
NOTHING = "–"
SIZES = ((10**9, "B"), (10**6, "M"), (10**4, "k"))
STEPS = ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h"), (math.inf, 86400, "d"))


@register.filter
def thousands(value: float | None) -> str:
    """12345 as 12,345."""
    return NOTHING if value is None else f"{value:,.0f}"


@register.filter
def short(value: float | None) -> str:
    """A large count in three digits: 1,234 stays, 12,345 is 12.3k."""
    if value is None:
        return NOTHING
    for size, letter in SIZES:
        if abs(value) >= size:
            scaled = value / (1000 if letter == "k" else size)
            return f"{scaled:.3g}{letter}" if abs(scaled) < 999.5 else f"{scaled:.0f}{letter}"
    return f"{value:,.0f}"


@register.filter
def decimal(value: float | None, places: int = 2) -> str:
    return NOTHING if value is None or not math.isfinite(value) else f"{value:,.{places}f}"


@register.filter
def signed(value: float | None, places: int = 2) -> str:
    """With its sign, and a true minus: +0.31, −0.31."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:+,.{places}f}".replace("-", "−")


@register.filter
def percent(share: float | None) -> str:
    """A share of 1 in percent: 0.123 as 12.3 %."""
    return NOTHING if share is None else f"{100 * share:.3g}\u00a0%"


@register.filter
def money(usd: float | None) -> str:
    """Dollars; below one cent with as many places as it takes to show something."""
    if usd is None:
        return NOTHING
    if usd == 0 or abs(usd) >= 0.01:
        return f"${usd:,.2f}"
    return f"${usd:.4f}" if abs(usd) >= 0.0001 else "<$0.0001"


@register.filter
def duration(seconds: float | None) -> str:
    """The two largest units: 45 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if 0 < seconds < 9.95 and f"{seconds:.1f}"[-1] != "0":
        return f"{seconds:.1f}\u00a0s"
    whole = max(0, round(seconds))
    place = next(place for place, (limit, _, _) in enumerate(STEPS) if whole < limit)
    _, unit, name = STEPS[place]
    _, smaller_unit, smaller_name = STEPS[max(0, place - 1)]
    tail = whole % unit // smaller_unit
    return f"{whole // unit}\u00a0{name}" + (f" {tail}\u00a0{smaller_name}" if tail else "")


@register.filter
def ago(moment: datetime | None) -> SafeString | str:
    """How long ago, with the exact time on hover."""
    if moment is None:
        return NOTHING
    seconds = (timezone.now() - moment).total_seconds()
    words = "just now" if seconds < 5 else f"{_coarse(seconds)} ago"
    local = timezone.localtime(moment)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', moment.isoformat(), local.strftime("%Y-%m-%d %H:%M:%S %Z"), words
    )


def _coarse(seconds: float) -> str:
    _, unit, name = next(step for step in STEPS if seconds < step[0])
    return f"{max(0, int(seconds // unit))}\u00a0{name}"


@register.filter
def memory(size_bytes: float | None) -> str:
    if size_bytes is None:
        return NOTHING
    for unit, name in ((2**30, "GB"), (2**20, "MB"), (2**10, "kB")):
        if size_bytes >= unit:
            return f"{size_bytes / unit:.3g}\u00a0{name}"
    return f"{size_bytes:.0f}\u00a0bytes"


@register.filter
def signed_percent(share: float | None) -> str:
    """A relative change: -0.55 as −55 %."""
    return NOTHING if share is None else f"{100 * share:+.3g}\u00a0%".replace("-", "−")


@register.filter
def rate(per_second: float | None) -> str:
    """Items per second, or per minute or hour where that is less than one."""
    if per_second is None:
        return NOTHING
    for seconds, name in ((1, "s"), (60, "min")):
        if per_second * seconds >= 1:
            return f"{per_second * seconds:.3g}/{name}"
    return f"{per_second * 3600:.3g}/h"


@register.filter
def words(name: str) -> str:
    """A machine name as words: near_duplicate as near duplicate."""
    return name.replace("_", " ")
