"""The rows of the pool browser as HTML: written by hand, for a page has fifty of them and a template is slower.

Every text goes through `escape`; nothing else may be put into a cell.
"""

from collections.abc import Callable, Sequence
from html import escape

from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe

from lionweb.models import DecisionKind, MemberSource, ReviewState
from lionweb.selectors.browser import BrowserRow
from lionweb.templatetags.lionweb_format import ago, decimal, signed, thousands
from lionweb.templatetags.lionweb_parts import icon

NUMERIC = frozenset({"number", "length", "gap", "teacher", "student"})
_DECISIONS = {kind.value: str(kind.label) for kind in DecisionKind}
_SOURCES = {source.value: str(source.label) for source in MemberSource}
_STATES = {state.value: str(state.label) for state in ReviewState if state.value}


def table_rows(rows: Sequence[BrowserRow], columns: Sequence[str], *, query: str, selectable: bool) -> SafeString:
    """`query` goes on to the page of each instruction."""
    there = reverse("instruction", args=[0]).removesuffix("0/")
    tail = escape(f"/?{query}" if query else "/")
    cells = [(_CLASSES[name], _CELLS[name]) for name in columns]
    return mark_safe("".join(_row(row, cells, f"{there}{row.id}{tail}", selectable) for row in rows))


def _row(row: BrowserRow, cells: Sequence[tuple[str, Callable[[BrowserRow], str]]], href: str, selectable: bool) -> str:
    pick = (
        f'<td class="col-pick"><input type="checkbox" class="pick" name="ids" value="{row.id}" form="bulk" '
        f'aria-label="Select instruction {row.id}"></td>'
        if selectable
        else ""
    )
    given = f'<div class="browser-input" dir="auto">{escape(row.input)}</div>' if row.input else ""
    text = f'<a class="row-link" id="instruction-{row.id}" href="{href}" dir="auto">{escape(row.text)}</a>{given}{_tags(row)}'
    shown = "".join(f"<td{css}>{cell(row)}</td>" for css, cell in cells)
    return f'<tr>{pick}<td class="browser-text">{text}</td>{shown}</tr>'


def _tags(row: BrowserRow) -> str:
    tags = [("deleted", row.is_deleted), ("an edited one took its place", row.is_replaced)]
    return "".join(f'<span class="tag">{word}</span> ' for word, holds in tags if holds)


def _words(text: str) -> str:
    return f"<bdi>{escape(text)}</bdi>" if text else "–"


def _verdict(row: BrowserRow) -> str:
    if not row.verdict:
        return '<span class="muted">–</span>'
    person = f'<span title="A person decided">{icon("person")}<span class="visually-hidden">, decided by a person</span></span>'
    word = escape(row.verdict)
    return f'<span class="pill pill-{word}"><span>{word}</span>{person if row.by_person else ""}</span>'


_CELLS: dict[str, Callable[[BrowserRow], str]] = {
    "number": lambda row: str(row.id),
    "category": lambda row: _words(row.category),
    "language": lambda row: _words(row.language),
    "length": lambda row: thousands(row.length),
    "added": lambda row: str(ago(row.created_at)),
    "source": lambda row: escape(_SOURCES.get(row.source, "")) or "–",
    "verdict": _verdict,
    "gap": lambda row: signed(row.gap),
    "teacher": lambda row: decimal(row.teacher),
    "student": lambda row: decimal(row.student),
    "decision": lambda row: escape(_DECISIONS.get(row.decision, "")) or "–",
    "state": lambda row: escape(_STATES.get(row.state, "")) or "–",
}
_CLASSES = {
    name: f' class="{"number" if name in NUMERIC else "nowrap"} col-{name}"'
    if name not in ("category", "language")
    else f' class="col-{name}"'
    for name in _CELLS
}


def options(choices: Sequence[tuple[object, str]], chosen: object) -> SafeString:
    """<option> elements; a chosen value that is not offered any more stands first."""
    known = [(escape(str(value)), escape(label)) for value, label in choices]
    wanted = escape(str(chosen)) if chosen not in ("", None) else ""
    if wanted and wanted not in {value for value, _ in known}:
        known.insert(0, (wanted, wanted))
    return mark_safe(
        "".join(
            f'<option value="{value}"{" selected" if value == wanted else ""}>{label}</option>'
            for value, label in known
        )
    )
