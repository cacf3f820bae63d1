from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.forms import PasswordChangeForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from distill.errors import DistillError
from lionweb.permissions import signed_in
from lionweb.services.people import choose_password


@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def own_password(request: HttpRequest) -> HttpResponse:
    person = signed_in(request)
    form = PasswordChangeForm(person, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            choose_password(person=person, password=form.cleaned_data["new_password1"])
        except DistillError as error:
            form.add_error("new_password1", f"{error.cause} {error.advice}")
        else:
            update_session_auth_hash(request, person)
            messages.success(request, "Your new password holds from now on.")
            return redirect("home")
    return render(request, "people/own_password.html", {"form": form}, status=422 if form.errors else 200)
