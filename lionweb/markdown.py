"""Model output as HTML: Markdown, made harmless. What looks like a formula is left as it was written."""

import re
from functools import cache

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline

TAGS = {
    *("p", "br", "hr", "blockquote", "pre", "code", "em", "strong", "s", "a"),
    *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td"),
}
FORMULA = re.compile(
    r"\$\$.{1,2000}?\$\$"
    r"|\$(?![\s$])[^$\n]{0,300}(?<![\s\\])\$(?!\d)"
    r"|\\\(.{1,1000}?\\\)"
    r"|\\\[.{1,2000}?\\\]"
    r"|\\begin\{(\w{1,20}\*?)\}.{1,2000}?\\end\{\1\}",
    re.DOTALL,
)


def render(text: str) -> SafeString:
    """Safe HTML: no script, no style, no image, links only to web and mail addresses. Raw HTML is shown as text."""
    return mark_safe(
        nh3.clean(
            _parser().render(text),
            tags=TAGS,
            attributes={"a": {"href"}, "ol": {"start"}, "p": {"class"}},
            url_schemes={"http", "https", "mailto"},
            link_rel="nofollow noopener noreferrer",
        )
    )


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
    parser.disable(["image", "html_block", "html_inline"])
    parser.inline.ruler.before("escape", "formula", _formula)
    parser.core.ruler.push("headings", _no_headings)
    return parser


def _no_headings(state: StateCore) -> None:
    """Headings of a model are none of the page's: a reader who steps from heading to heading stays in the page."""
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = "p"
            token.attrSet("class", "heading")


def _formula(state: StateInline, silent: bool) -> bool:
    """An inline rule: Markdown would eat the backslashes and read underscores as emphasis."""
    if state.src[state.pos] not in "$\\":
        return False
    found = FORMULA.match(state.src, state.pos, state.posMax)
    if found is None:
        return False
    if not silent:
        state.push("text", "", 0).content = found.group()
    state.pos = found.end()
    return True
