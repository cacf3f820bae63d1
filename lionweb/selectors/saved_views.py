from dataclasses import dataclass

from django.db import connection

from lionweb.models import SavedView, User

MOST_VIEWS = 100


@dataclass(frozen=True)
class SavedViews:
    own: tuple[SavedView, ...]
    shared: tuple[SavedView, ...]  # by others


@dataclass(frozen=True)
class KeptFor:
    """Whether there is anything to look up: most pages need neither."""

    jobs: bool
    views: bool


_KEPT = """
    SELECT EXISTS (SELECT 1 FROM lionweb_bulkjob WHERE actor_id = %s),
        EXISTS (SELECT 1 FROM lionweb_savedview WHERE owner_id = %s OR shared)
"""


def kept_for(person: User) -> KeptFor:
    with connection.cursor() as cursor:
        cursor.execute(_KEPT, [person.pk, person.pk])
        return KeptFor(*cursor.fetchone())


def saved_views(person: User) -> SavedViews:
    own = SavedView.objects.filter(owner=person)
    others = SavedView.objects.filter(shared=True).exclude(owner=person).select_related("owner")
    return SavedViews(*(tuple(rows.order_by("name", "pk")[:MOST_VIEWS]) for rows in (own, others)))
