from django.urls import path

from lionweb.views import browser, bulk, endpoints, gates, health, instruction, pools, saved_views, workers

urlpatterns = [
    path("pools/", pools.pools, name="pools"),
    path("pools/upload/", pools.upload, name="pool-upload"),
    path("pools/<int:pk>/", pools.pool, name="pool"),
    path("instructions/", browser.instructions, name="instructions"),
    path("instructions/<int:pk>/", instruction.instruction, name="instruction"),
    path("instructions/<int:pk>/edit/", instruction.edit, name="instruction-edit"),
    path("instructions/<int:pk>/delete/", instruction.delete, name="instruction-delete"),
    path("instructions/<int:pk>/restore/", instruction.restore, name="instruction-restore"),
    path("instructions/changes/", bulk.changes, name="changes"),
    path("instructions/changes/start/", bulk.start, name="bulk-start"),
    path("instructions/changes/mine/", bulk.jobs, name="bulk-jobs"),
    path("instructions/changes/<int:pk>/cancel/", bulk.cancel, name="bulk-cancel"),
    path("instructions/changes/<int:pk>/undo/", bulk.undo, name="bulk-undo"),
    path("instructions/views/", saved_views.save, name="view-save"),
    path("instructions/views/<int:pk>/delete/", saved_views.delete, name="view-delete"),
    path("stages/<int:pk>/review/", gates.gate_of_stage, name="review"),
    path("stages/<int:pk>/approval/", gates.gate_of_stage, name="approve"),
    path("endpoints/", endpoints.endpoints, name="endpoints"),
    path("endpoints/add/", endpoints.add, name="endpoint-add"),
    path("endpoints/<int:pk>/", endpoints.edit, name="endpoint-edit"),
    path("endpoints/<int:pk>/check/", endpoints.check, name="endpoint-check"),
    path("workers/", workers.workers, name="workers"),
    path("healthz", health.healthz, name="healthz"),
]
