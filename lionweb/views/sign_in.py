from django.contrib.auth.views import LoginView

from lionweb.forms.sign_in import SignInForm


class SignIn(LoginView):
    """A person who is already signed in goes on to where the link led."""

    template_name = "sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True
