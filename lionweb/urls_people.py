from django.urls import path

from lionweb.views import agreement, assignments, audit, conflicts, own_password, people, team

urlpatterns = [
    path("my-reviews/", assignments.my_reviews, name="my-reviews"),
    path("experiments/<int:pk>/reviewers/", assignments.reviewers, name="reviewers"),
    path("experiments/<int:pk>/reviewers/add/", assignments.add_reviewer, name="reviewer-add"),
    path("experiments/<int:pk>/reviewers/remove/", assignments.remove_reviewer, name="reviewer-remove"),
    path("experiments/<int:pk>/iterations/<int:number>/review/team/", team.review_team, name="review-team"),
    path("experiments/<int:pk>/iterations/<int:number>/agreement/", agreement.agreement, name="agreement"),
    path("experiments/<int:pk>/iterations/<int:number>/conflicts/", conflicts.conflicts, name="conflicts"),
    path("classifications/<int:pk>/resolve/", conflicts.resolve, name="conflict-resolve"),
    path("classifications/<int:pk>/reopen/", conflicts.reopen, name="conflict-reopen"),
    path("people/", people.people, name="people"),
    path("people/invite/", people.invite, name="person-invite"),
    path("people/<int:pk>/role/", people.change_role, name="person-role"),
    path("people/<int:pk>/password/", people.new_password, name="person-password"),
    path("people/<int:pk>/deactivate/", people.deactivate, name="person-deactivate"),
    path("people/<int:pk>/reactivate/", people.reactivate, name="person-reactivate"),
    path("password/", own_password.own_password, name="own-password"),
    path("audit/", audit.audit, name="audit"),
    path("audit/export.csv", audit.audit_csv, name="audit-csv"),
]
