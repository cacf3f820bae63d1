"""Small parts of pages: icons, status pills, the navigation."""

from functools import cache
from typing import Any

from django import template
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from lionweb.icons import ICONS
from lionweb.models import Role

register = template.Library()

SECTIONS = (
    ("experiments", "Experiments", "flask", ("/experiments",)),
    ("pools", "Pools", "stack", ("/pools", "/instructions")),
    ("evaluations", "Evaluations", "target", ("/evaluations",)),
    ("endpoints", "Endpoints", "plug", ("/endpoints",)),
    ("workers", "Workers", "cpu", ("/workers",)),
    ("my-reviews", "My reviews", "check-circle", ("/my-reviews",)),
    ("people", "People", "person", ("/people",)),
    ("ledger", "Ledger", "file", ("/ledger",)),
    ("audit", "Audit", "list", ("/audit",)),
)
LEAST_ROLES = {"my-reviews": Role.ANNOTATOR, "people": Role.ADMIN, "audit": Role.RESEARCHER}
"""Sections that are shown only to those who may see their pages."""


@register.simple_tag
@cache
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
    for name, title, symbol, starts in SECTIONS:
        if name in LEAST_ROLES and not context["user"].may(LEAST_ROLES[name]):
            continue
        try:
            url = reverse(name)
        except NoReverseMatch:  # an installation may leave a section out
            continue
        here = any(path == start or path.startswith(f"{start}/") for start in starts)
        links.append((url, mark_safe(' aria-current="page"' if here else ""), icon(symbol), title))
    return format_html_join("", '<a href="{}"{}>{}<span>{}</span></a>', links)


@register.simple_tag
def status_icon(status: str) -> SafeString:
    """The icon of a status alone; its word must stand beside it, at least for screen readers."""
    return icon(STATUS_ICONS[status])


@register.simple_tag(takes_context=True)
def sort_header(context: template.Context, key: str, title: str, current: str, css: str = "") -> SafeString:
    """A column head that sorts by `key`; a second press turns the order round. The rest of the URL is kept."""
    chosen = current.removeprefix("-") == key
    descending = current.startswith("-")
    query = context["request"].GET.copy()
    query["sort"] = f"-{key}" if chosen and not descending else key
    query.pop("page", None)
    sort = format_html(' aria-sort="{}"', "descending" if descending else "ascending") if chosen else ""
    arrow = icon("arrow-down" if descending else "arrow-up") if chosen else ""
    return format_html(
        '<th scope="col" role="columnheader" class="{}"{}><a id="sort-{}" href="?{}">{}{}</a></th>',
        css,
        sort,
        key,
        query.urlencode(),
        title,
        arrow,
    )


@register.inclusion_tag("experiments/_chart.html")
def chart(name: str, title: str, about: str, empty: str, css: str) -> dict[str, str]:
    return {"name": name, "title": title, "about": about, "empty": empty, "css": css}


GATE_PAGES = {"review": "review", "approve": "approve"}


@register.simple_tag
def gate_url(stage: Any) -> str:
    """The page on which people decide at this gate."""
    return reverse(GATE_PAGES[stage.kind], args=[stage.id])
