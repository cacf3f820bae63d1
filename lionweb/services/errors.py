from distill.errors import DistillError


class Refused(DistillError):
    """A request of a person that does not apply now; nothing was changed."""

    code = "refused"
