"""Small parts of pages: icons, status pills, the navigation."""

from django import template
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from lionweb.icons import ICONS

register = template.Library()

SECTIONS = (
    ("experiments", "Experiments", "flask", "/experiments"),
    ("pools", "Pools", "stack", "/pools"),
    ("endpoints", "Endpoints", "plug", "/endpoints"),
    ("workers", "Workers", "cpu", "/workers"),
)


@register.simple_tag
def icon(name: str) -> SafeString:
    """An inline icon of 16 x 16 units in the text's colour. Decoration: say the same in words beside it."""
    return format_html(
        '<svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">{}</svg>',
        mark_safe(ICONS[name]),
    )


# Each status has its own shape, so that it is never told by colour alone.
STATUS_ICONS = {
    "draft": "dashed-circle",
    "pending": "dashed-circle",
    "queued": "clock",
    "running": "spinner",
    "waiting": "hand",
    "paused": "pause",
    "succeeded": "check-circle",
    "failed": "cross-circle",
    "cancelled": "slash-circle",
}


@register.simple_tag
def pill(status: str, word: str = "") -> SafeString:
    """A status with its icon and word; `status` is one of STATUS_ICONS and picks the colour."""
    return format_html(
        '<span class="pill pill-{}">{}<span>{}</span></span>', status, icon(STATUS_ICONS[status]), word or status
    )


@register.simple_tag(takes_context=True)
def topnav(context: template.Context) -> SafeString:
    path = context["request"].path
    links = []
    for name, title, symbol, start in SECTIONS:
        try:
            url = reverse(name)
        except NoReverseMatch:  # an installation may leave a section out
            continue
        here = path == start or path.startswith(f"{start}/")
        links.append((url, mark_safe(' aria-current="page"' if here else ""), icon(symbol), title))
    return format_html_join("", '<a href="{}"{}>{}<span>{}</span></a>', links)
