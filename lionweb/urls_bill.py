from django.urls import path

from lionweb.views import budget, ledger, plan

urlpatterns = [
    path("experiments/<int:pk>/budget/", budget.change, name="experiment-budget"),
    path("experiments/<int:pk>/plan/", plan.plan, name="experiment-plan"),
    path("ledger/", ledger.ledger, name="ledger"),
    path("ledger/ledger.csv", ledger.ledger_csv, name="ledger-csv"),
]
