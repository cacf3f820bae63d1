from django.urls import path

from lionweb.views import referee

urlpatterns = [
    path("experiments/<int:pk>/referee/", referee.experiment_referee, name="experiment-referee"),
    path("experiments/<int:pk>/referee/lengths/", referee.referee_lengths, name="referee-lengths"),
]
