from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def list_experiments(request: HttpRequest) -> HttpResponse:
    return render(request, "experiments/list.html")
