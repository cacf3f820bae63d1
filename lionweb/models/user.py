from django.contrib.auth.models import AbstractUser
from django.db import models


class Role(models.TextChoices):
    VIEWER = "viewer", "Viewer"
    ANNOTATOR = "annotator", "Annotator"
    RESEARCHER = "researcher", "Researcher"
    ADMIN = "admin", "Admin"


class User(AbstractUser):
    """A person. Roles include each other: an admin may do what a researcher may, and so on down."""

    role = models.CharField(max_length=12, choices=Role.choices, default=Role.VIEWER)
    password_is_temporary = models.BooleanField(default=False)  # given by an admin, to be replaced at the next sign-in

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(role__in=Role.values), name="user_role_is_known")]

    def may(self, role: Role) -> bool:
        order = list(Role.values)
        return self.is_active and (self.is_superuser or order.index(self.role) >= order.index(role))
