from django.db.models import Aggregate, FloatField


class Median(Aggregate):
    """The middle value of a column, computed by Postgres; empty values are passed over."""

    template = "PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = FloatField()
