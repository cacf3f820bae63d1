"""Which items of a review queue are looked at: what a page's address says, and what the database is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from django.contrib.postgres.search import SearchQuery
from django.db.models import Q

from distill.records import Verdict
from lionweb.models import OPEN_STATES, OPINIONS, DecisionKind, Instruction, ReviewState

SHOWN: dict[str, Q] = {
    "open": Q(review_state__in=OPEN_STATES),
    **{state.value: Q(review_state=state) for state in ReviewState if state},
    "all": Q(),
}
"""By the word in the address: a state, every open state, or all."""
TELLING = (ReviewState.CONFIRMED.value, ReviewState.OVERRIDDEN.value)
"""States that give away what the referee said."""
VERDICTS = tuple(v.value for v in Verdict)
DECISIONS = {kind.value: kind.label for kind in DecisionKind if kind in OPINIONS}
LONGEST = 200
RARE = 500


@dataclass(frozen=True)
class ReviewFilters:
    show: str = "open"
    verdict: str = ""  # the referee's
    decision: str = ""  # what people decided
    only: str = ""  # flipped or audit
    category: str = ""
    q: str = ""

    def where(self) -> Q:
        """Beside `show`: what a person decided may not make the item leave the filter while they step through it."""
        found = Q()
        if self.verdict:
            found &= Q(referee_verdict=self.verdict)
        if self.decision:
            found &= Q(person_kind=self.decision)
        if self.only:
            found &= Q(flipped=True) if self.only == "flipped" else Q(audit_slice=True)
        if self.category:
            found &= Q(instruction__category=self.category)
        if self.q:
            found &= self._words()
        return found

    def _words(self) -> Q:
        """A rare word is looked up first: to walk the whole queue in search of it would take long. A common one is
        found soon on the way."""
        search = SearchQuery(self.q, config="simple", search_type="websearch")
        ids = Instruction.objects.filter(words=search).values_list("pk", flat=True)[: RARE + 1]
        return Q(instruction__in=list(ids)) if len(ids) <= RARE else Q(instruction__words=search)

    def as_query(self) -> dict[str, str]:
        """What differs from the plain queue, for an address."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}


EVERYTHING = ReviewFilters()


def states_shown(*, blind: bool) -> tuple[str, ...]:
    return tuple(name for name in SHOWN if not blind or name not in TELLING)


def filters_of(query: Mapping[str, str], *, blind: bool = False) -> ReviewFilters:
    """Unknown words count as none. Where the referee is hidden, its verdict cannot be asked for either."""

    def word(name: str, known: tuple[str, ...]) -> str:
        return query.get(name, "") if query.get(name, "") in known else ""

    def text(name: str) -> str:
        return query.get(name, "").replace("\0", "").strip()[:LONGEST]

    return ReviewFilters(
        show=word("show", states_shown(blind=blind)) or "open",
        verdict="" if blind else word("verdict", VERDICTS),
        decision="" if blind else word("decision", tuple(DECISIONS)),
        only="" if blind else word("only", ("flipped", "audit")),
        category=text("category"),
        q=text("q"),
    )
