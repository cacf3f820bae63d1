from django.contrib.auth.views import LogoutView
from django.urls import include, path

from lionweb.views.sign_in import SignIn

urlpatterns = [
    path("sign-in/", SignIn.as_view(), name="sign-in"),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("", include("lionweb.urls_experiments")),
    path("", include("lionweb.urls_bill")),
    path("", include("lionweb.urls_pools")),
    path("", include("lionweb.urls_people")),
    path("", include("lionweb.urls_review")),
    path("", include("lionweb.urls_approvals")),
    path("", include("lionweb.urls_threshold")),
    path("", include("lionweb.urls_judged")),
    path("", include("lionweb.urls_referee")),
]
