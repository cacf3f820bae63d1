from django.urls import path

from lionweb.views import threshold

urlpatterns = [
    path("experiments/<int:pk>/threshold/", threshold.threshold, name="experiment-threshold"),
    path("experiments/<int:pk>/threshold/data/", threshold.data, name="threshold-data"),
    path("experiments/<int:pk>/threshold/what-if/", threshold.exact, name="threshold-what-if"),
    path("experiments/<int:pk>/threshold/apply/", threshold.apply, name="threshold-apply"),
    path("experiments/<int:pk>/threshold/replay/", threshold.replay, name="threshold-replay"),
]
