from django.contrib.auth.forms import AuthenticationForm


class SignInForm(AuthenticationForm):
    error_messages = {
        "invalid_login": "This user name and password do not fit together. Both are case-sensitive; check for caps lock.",
        "inactive": "This account was switched off. Ask an administrator to switch it on again.",
    }
