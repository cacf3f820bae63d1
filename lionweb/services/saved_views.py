from django.core.exceptions import PermissionDenied
from django.db import transaction

from lionweb.models import Role, SavedView, User
from lionweb.services import audit
from lionweb.services.errors import Refused

MOST_QUERY = 2000


@transaction.atomic
def save_view(*, actor: User, name: str, query: str, shared: bool) -> SavedView:
    """One of the same name is replaced. Raises Refused."""
    name = name.replace("\0", "").strip()
    if not name or len(name) > 80:
        raise Refused("A view needs a name of 1 to 80 characters.", "Choose another name.")
    if len(query) > MOST_QUERY or "\0" in query:
        raise Refused("This view is too long to be saved.", "Use a shorter search.")
    view, made = SavedView.objects.update_or_create(owner=actor, name=name, defaults={"query": query, "shared": shared})
    audit.record(actor=actor, action="view.save", target=view, name=name, shared=shared, is_new=made)
    return view


@transaction.atomic
def delete_view(*, actor: User, view: SavedView) -> None:
    """Raises PermissionDenied for a view of someone else."""
    if view.owner_id != actor.pk and not actor.may(Role.ADMIN):
        raise PermissionDenied("Only its owner or an administrator may delete a view.")
    audit.record(actor=actor, action="view.delete", target=view, name=view.name)
    view.delete()
