from dataclasses import dataclass

from django.db.models import Q

from lionweb.models import SavedView, User

MOST_VIEWS = 100


@dataclass(frozen=True)
class SavedViews:
    own: tuple[SavedView, ...]
    shared: tuple[SavedView, ...]  # by others


def saved_views(person: User) -> SavedViews:
    rows = SavedView.objects.filter(Q(owner=person) | Q(shared=True)).select_related("owner").order_by("name", "pk")
    found = list(rows[:MOST_VIEWS])
    return SavedViews(
        own=tuple(one for one in found if one.owner_id == person.pk),
        shared=tuple(one for one in found if one.owner_id != person.pk),
    )
