from django.urls import path

from lionweb.views import judged, win_rate

urlpatterns = [
    path("judged/upload/", judged.upload, name="judged-upload"),
    path("experiments/<int:pk>/win-rate/", win_rate.experiment_win_rate, name="experiment-win-rate"),
]
