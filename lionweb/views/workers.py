from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from lionweb.selectors.workers import workers_page


@require_GET
def workers(request: HttpRequest) -> HttpResponse:
    template = "workers/_live.html" if request.headers.get("HX-Request") else "workers/workers.html"
    return render(request, template, {"page": workers_page()})
