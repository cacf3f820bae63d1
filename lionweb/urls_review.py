from django.urls import path

from lionweb.views import review, review_batches

urlpatterns = [
    path("experiments/<int:pk>/iterations/<int:number>/review/", review.review, name="review-gate"),
    path("experiments/<int:pk>/iterations/<int:number>/review/close/", review.close, name="review-close"),
    path("experiments/<int:pk>/iterations/<int:number>/review/undo/", review.undo, name="review-undo"),
    path("experiments/<int:pk>/iterations/<int:number>/review/progress/", review.progress, name="review-progress"),
    path("experiments/<int:pk>/iterations/<int:number>/review/many/", review_batches.decide, name="review-many"),
    path("reviews/batches/<int:pk>/undo/", review_batches.undo, name="review-undo-many"),
    path("reviews/<int:pk>/decide/", review.decide, name="review-decide"),
    path("reviews/<int:pk>/keep/", review.keep, name="review-keep"),
    path("reviews/<int:pk>/release/", review.put_back, name="review-release"),
    path("reviews/<int:pk>/text/<str:side>/", review.text, name="review-text"),
]
