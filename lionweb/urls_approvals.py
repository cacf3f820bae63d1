from django.urls import path

from lionweb.views import approvals, evaluations

urlpatterns = [
    path("experiments/<int:pk>/iterations/<int:number>/approval/", approvals.approval, name="approval-gate"),
    path("experiments/<int:pk>/iterations/<int:number>/approval/many/", approvals.many, name="approval-many"),
    path("experiments/<int:pk>/iterations/<int:number>/approval/undo/", approvals.undo, name="approval-undo"),
    path("experiments/<int:pk>/iterations/<int:number>/approval/close/", approvals.close, name="approval-close"),
    path("candidates/<int:pk>/approval/", approvals.decide, name="approval-decide"),
    path("candidates/<int:pk>/edit/", approvals.edit, name="approval-edit"),
    path("candidates/<int:pk>/keep/", approvals.keep, name="approval-keep"),
    path("candidates/<int:pk>/diff/", approvals.diff, name="approval-diff"),
    path("evaluations/", evaluations.evaluations, name="evaluations"),
    path("evaluations/upload/", evaluations.upload, name="evaluation-upload"),
    path("evaluations/<int:pk>/remove/", evaluations.remove, name="evaluation-remove"),
]
