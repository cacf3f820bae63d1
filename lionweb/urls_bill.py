from django.urls import path

from lionweb.views import budget

urlpatterns = [
    path("experiments/<int:pk>/budget/", budget.change, name="experiment-budget"),
]
