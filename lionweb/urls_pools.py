from django.urls import path

from lionweb.views import browser, endpoints, gates, health, instruction, pools, workers

urlpatterns = [
    path("pools/", pools.pools, name="pools"),
    path("pools/upload/", pools.upload, name="pool-upload"),
    path("pools/<int:pk>/", pools.pool, name="pool"),
    path("instructions/", browser.instructions, name="instructions"),
    path("instructions/<int:pk>/", instruction.instruction, name="instruction"),
    path("stages/<int:pk>/review/", gates.gate_of_stage, name="review"),
    path("stages/<int:pk>/approval/", gates.gate_of_stage, name="approve"),
    path("endpoints/", endpoints.endpoints, name="endpoints"),
    path("endpoints/add/", endpoints.add, name="endpoint-add"),
    path("endpoints/<int:pk>/", endpoints.edit, name="endpoint-edit"),
    path("endpoints/<int:pk>/check/", endpoints.check, name="endpoint-check"),
    path("workers/", workers.workers, name="workers"),
    path("healthz", health.healthz, name="healthz"),
]
