from django.urls import path
from django.views.generic import RedirectView

from lionweb.views import charts, experiment, experiments

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="experiments"), name="home"),
    path("experiments/", experiments.experiments, name="experiments"),
    path("experiments/new/", experiments.new_experiment, name="experiment-new"),
    path("experiments/new/estimate/", experiments.experiment_estimate, name="experiment-estimate"),
    path("experiments/<int:pk>/", experiment.experiment, name="experiment"),
    path("experiments/<int:pk>/live/", experiment.experiment_live, name="experiment-live"),
    path("experiments/<int:pk>/log/", experiment.experiment_log, name="experiment-log"),
    path("experiments/<int:pk>/charts/", charts.experiment_charts, name="experiment-charts"),
    path("experiments/<int:pk>/launch/", experiment.launch, name="experiment-launch"),
    path("experiments/<int:pk>/pause/", experiment.pause, name="experiment-pause"),
    path("experiments/<int:pk>/resume/", experiment.resume, name="experiment-resume"),
    path("experiments/<int:pk>/cancel/", experiment.cancel, name="experiment-cancel"),
    path("stages/<int:pk>/retry/", experiment.retry, name="stage-retry"),
]
