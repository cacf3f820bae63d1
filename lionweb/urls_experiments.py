from django.urls import URLPattern, path
from django.views.generic import RedirectView

from lionweb.views import experiments

urlpatterns: list[URLPattern] = [
    path("", RedirectView.as_view(pattern_name="experiments"), name="home"),
    path("experiments/", experiments.list_experiments, name="experiments"),
]
