from django.db import models


class EndpointSource(models.TextChoices):
    BUNDLED = "bundled", "Bundled teacher"
    ENVIRONMENT = "environment", "Environment"
    PERSON = "person", "Entered"


class Endpoint(models.Model):
    """An OpenAI-compatible endpoint with one model, its limits and its prices."""

    name = models.CharField(max_length=100, unique=True)
    source = models.CharField(max_length=12, choices=EndpointSource.choices, default=EndpointSource.PERSON)
    base_url = models.CharField(max_length=500)
    model = models.CharField(max_length=200)
    api_key_encrypted = models.TextField(blank=True, editable=False)
    max_concurrency = models.PositiveIntegerField(default=64)
    requests_per_minute = models.PositiveIntegerField(default=0)
    tokens_per_minute = models.PositiveIntegerField(default=0)
    input_usd_per_million = models.FloatField(default=0)
    output_usd_per_million = models.FloatField(default=0)
    batch_input_usd_per_million = models.FloatField(
        null=True
    )  # null: the endpoint has no batches, or no price for them
    batch_output_usd_per_million = models.FloatField(null=True)
    supports_json_schema = models.BooleanField(null=True)
    supports_logprobs = models.BooleanField(null=True)
    checked_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(source__in=EndpointSource.values), name="endpoint_source_is_known"
            ),
            models.CheckConstraint(condition=models.Q(max_concurrency__gte=1), name="endpoint_concurrency_is_positive"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def author(self) -> str:
        """Who answers here, as it stands in Response.author: answers are reused wherever this is equal.

        The bundled server takes another port at every start, so its address is no part of who it is.
        """
        where = "bundled" if self.source == EndpointSource.BUNDLED else self.base_url.rstrip("/")
        return f"{self.model}@{where}"
