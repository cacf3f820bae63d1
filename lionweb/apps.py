from django.apps import AppConfig


class LionWebConfig(AppConfig):
    name = "lionweb"
    verbose_name = "LionWeb"
    default_auto_field = "django.db.models.BigAutoField"
