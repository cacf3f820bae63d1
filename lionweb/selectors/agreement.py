"""How far the reviewers of an iteration agree, among themselves and with the referee.

Everything is counted by Postgres; what comes out is small whatever the number of opinions.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Count, F, Max, Q

from distill.records import Verdict
from lionweb.agreement import Estimate, cohen_kappa, fleiss_kappa, raw_agreement, share
from lionweb.models import OPINIONS, Classification, Decision, DecisionKind, Iteration, Role, User
from lionweb.selectors.median import Median

KINDS = tuple(kind for kind in DecisionKind if kind in OPINIONS)
_OPINIONS = """
    WITH opinion AS MATERIALIZED (
        SELECT decision.classification_id, decision.person_id, decision.kind
        FROM lionweb_decision decision JOIN lionweb_classification item ON item.id = decision.classification_id
        WHERE item.iteration_id = %s AND decision.kind = ANY(%s)
          AND decision.undone_at IS NULL AND NOT decision.is_resolution
    )
"""
_PATTERNS = f"""{_OPINIONS}, pattern AS (
        SELECT classification_id, array_agg(kind::text ORDER BY kind) AS kinds
        FROM opinion GROUP BY classification_id HAVING count(*) >= 2
    )
    SELECT opinion.person_id, opinion.kind, pattern.kinds, count(*)
    FROM opinion JOIN pattern USING (classification_id) GROUP BY 1, 2, 3
"""
_PAIRS = f"""{_OPINIONS}
    SELECT one.person_id, other.person_id, one.kind, other.kind, count(*)
    FROM opinion one JOIN opinion other USING (classification_id)
    WHERE one.person_id < other.person_id
    GROUP BY 1, 2, 3, 4
"""
Pattern = tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    kind: DecisionKind
    count: int
    share: float  # of its row
    agrees: bool


@dataclass(frozen=True)
class ConfusionRow:
    verdict: str
    total: int
    cells: tuple[Cell, ...]
    overridden: Estimate


@dataclass(frozen=True)
class Pair:
    one: str
    other: str
    raw: Estimate
    kappa: Estimate


@dataclass(frozen=True)
class Reviewer:
    """`overridden`: of the scored items alone. `with_majority`: of the items where most of the others gave one kind, how
    often this person gave it too."""

    id: int
    name: str
    opinions: int
    overridden: Estimate
    with_majority: Estimate
    median_seconds: float | None
    flags: int
    skips: int
    last_at: Any


@dataclass(frozen=True)
class AgreementPage:
    """`pairs` and `reviewers` are those that the reader may see."""

    opinions: int
    people: int
    items: int
    raw: Estimate
    fleiss: Estimate
    cohen: Estimate | None  # where exactly two people have judged the same items
    confusion: tuple[ConfusionRow, ...]
    pairs: tuple[Pair, ...]
    reviewers: tuple[Reviewer, ...]
    sees_everyone: bool


def agreement_page(iteration: Iteration, reader: User) -> AgreementPage:
    """The experiment's owner and admins see every reviewer, others themselves alone."""
    by_person = _patterns(iteration)
    items = _items(by_person)
    pairs = _pairs(iteration)
    reviewers = _reviewers(iteration, by_person)
    names = {one.id: one.name for one in reviewers}
    everyone = sees_everyone(reader, iteration)
    seen = [(ids, table) for ids, table in pairs.items() if everyone or reader.pk in ids]
    return AgreementPage(
        opinions=sum(one.opinions for one in reviewers),
        people=sum(1 for one in reviewers if one.opinions),
        items=sum(items.values()),
        raw=raw_agreement(items),
        fleiss=fleiss_kappa(items),
        cohen=cohen_kappa(next(iter(pairs.values()))) if len(pairs) == 1 else None,
        confusion=_confusion(iteration),
        pairs=tuple(_pair(names[one], names[other], table) for (one, other), table in seen),
        reviewers=tuple(one for one in reviewers if everyone or one.id == reader.pk),
        sees_everyone=everyone,
    )


def sees_everyone(reader: User, iteration: Iteration) -> bool:
    return reader.may(Role.ADMIN) or iteration.experiment.owner_id == reader.pk


def _rows(query: str, iteration: Iteration) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, [iteration.pk, sorted(OPINIONS)])
        return cursor.fetchall()


def _patterns(iteration: Iteration) -> dict[int, dict[tuple[str, Pattern], int]]:
    """Of each person, how often they gave a kind to an item with this pattern of kinds, their own among them."""
    found: dict[int, dict[tuple[str, Pattern], int]] = defaultdict(dict)
    for person, kind, kinds, count in _rows(_PATTERNS, iteration):
        found[person][kind, tuple(kinds)] = count
    return found


def _items(by_person: dict[int, dict[tuple[str, Pattern], int]]) -> dict[Pattern, int]:
    """How many items have each pattern: every item was counted once for each of its opinions."""
    opinions: Counter[Pattern] = Counter()
    for counts in by_person.values():
        for (_, kinds), count in counts.items():
            opinions[kinds] += count
    return {kinds: count // len(kinds) for kinds, count in opinions.items()}


def _with_majority(counts: dict[tuple[str, Pattern], int]) -> Estimate:
    agreed, compared = 0, 0
    for (kind, kinds), count in counts.items():
        others = Counter(kinds)
        others[kind] -= 1
        (first, most), *rest = others.most_common(2)
        if rest and rest[0][1] == most:
            continue  # the others are of two minds
        compared += count
        agreed += count if first == kind else 0
    return share(agreed, compared)


Table = dict[tuple[str, str], int]


def _pairs(iteration: Iteration) -> dict[tuple[int, int], Table]:
    found: dict[tuple[int, int], Table] = defaultdict(dict)
    for one, other, kind, other_kind, count in _rows(_PAIRS, iteration):
        found[one, other][kind, other_kind] = count
    return found


def _pair(one: str, other: str, table: Table) -> Pair:
    return Pair(one, other, raw_agreement(table), cohen_kappa(table))


def _confusion(iteration: Iteration) -> tuple[ConfusionRow, ...]:
    rows = Classification.objects.filter(iteration=iteration).exclude(person_kind="").order_by()
    counts = {
        (verdict, kind): count
        for verdict, kind, count in rows.values_list("referee_verdict", "person_kind").annotate(n=Count("pk"))
    }
    return tuple(_confusion_row(verdict, counts) for verdict in Verdict) if counts else ()


def _confusion_row(verdict: str, counts: dict[tuple[str, str], int]) -> ConfusionRow:
    total = sum(count for (row, _), count in counts.items() if row == verdict)
    cells = []
    for kind in KINDS:
        count = counts.get((verdict, kind), 0)
        cells.append(Cell(kind, count, count / total if total else 0.0, kind == verdict))
    overridden = share(total - counts.get((verdict, verdict), 0), total)
    nothing = share(0, 0)  # without scores there is no verdict to override
    return ConfusionRow(verdict, total, tuple(cells), nothing if verdict == Verdict.UNSCORED else overridden)


def _reviewers(iteration: Iteration, by_person: dict[int, dict[tuple[str, Pattern], int]]) -> list[Reviewer]:
    """Most opinions first."""
    live = Decision.objects.filter(classification__iteration=iteration, undone_at__isnull=True, is_resolution=False)
    opinion = Q(kind__in=OPINIONS)
    scored = opinion & ~Q(classification__referee_verdict=Verdict.UNSCORED)
    rows = live.order_by().values(member=F("person"), name=F("person__username")).annotate(
        opinions=Count("pk", filter=opinion),
        on_scored=Count("pk", filter=scored),
        overrides=Count("pk", filter=scored & ~Q(kind=F("classification__referee_verdict"))),
        median=Median("seconds", filter=opinion),
        flags=Count("pk", filter=Q(kind=DecisionKind.FLAG)),
        skips=Count("pk", filter=Q(kind=DecisionKind.SKIP)),
        last=Max("created_at"),
    )  # fmt: skip
    found = [
        Reviewer(
            id=row["member"],
            name=row["name"],
            opinions=row["opinions"],
            overridden=share(row["overrides"], row["on_scored"]),
            with_majority=_with_majority(by_person.get(row["member"], {})),
            median_seconds=row["median"],
            flags=row["flags"],
            skips=row["skips"],
            last_at=row["last"],
        )
        for row in rows
    ]
    return sorted(found, key=lambda one: (-one.opinions, one.name))
