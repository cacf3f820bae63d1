from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from distill.errors import DistillError
from lionweb.models import SavedView
from lionweb.permissions import signed_in
from lionweb.services.saved_views import MOST_QUERY, delete_view, save_view


@require_POST
def save(request: HttpRequest) -> HttpResponse:
    """Everyone who sees the list may keep a view of it."""
    query = request.POST.get("query", "")
    try:
        view = save_view(
            actor=signed_in(request),
            name=request.POST.get("name", ""),
            query=query,
            shared=bool(request.POST.get("shared")),
        )
        messages.success(request, f"The view {view.name} is saved.")
    except DistillError as error:
        messages.error(request, str(error))
    return redirect(f"{reverse('instructions')}?{query}" if len(query) <= MOST_QUERY else "instructions")


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    view = get_object_or_404(SavedView, pk=pk)
    delete_view(actor=signed_in(request), view=view)
    messages.success(request, f"The view {view.name} is deleted.")
    return redirect("instructions")
