"""One small family of errors. Each says in plain words what happened and what to change."""


class DistillError(Exception):
    """A fault that a person can understand and mend.

    Attributes:
        cause: what happened, one sentence.
        advice: what to change, one sentence; may be empty.
        code: stable machine name, e.g. "key_rejected"; pages choose their icon and link by it.
    """

    code = "error"

    def __init__(self, cause: str, advice: str = "") -> None:
        super().__init__(f"{cause} {advice}".strip())
        self.cause = cause
        self.advice = advice

    def as_dict(self) -> dict[str, str]:
        return {"code": self.code, "cause": self.cause, "advice": self.advice}


class SettingsError(DistillError):
    """A setting is outside its range; `field` is its dotted name, e.g. "training.epochs"."""

    code = "bad_setting"

    def __init__(self, field: str, cause: str) -> None:
        super().__init__(f"{field}: {cause}")
        self.field = field


class PoolError(DistillError):
    code = "bad_pool"


class EndpointError(DistillError):
    """The whole endpoint is unusable as configured: every further call would fail the same way."""

    code = "endpoint"


class KeyRejected(EndpointError):
    code = "key_rejected"


class ModelUnknown(EndpointError):
    code = "model_unknown"


class EndpointUnreachable(EndpointError):
    code = "unreachable"


class NotAnOpenAIEndpoint(EndpointError):
    code = "not_openai"


class FeatureMissing(EndpointError):
    """The endpoint refuses logprobs, json_schema or another option that the settings ask for."""

    code = "feature_missing"


class QuotaExhausted(EndpointError):
    """The account has no credit left: more tries cannot help."""

    code = "quota"


class CallFailed(DistillError):
    """One call failed for good after its retries; other calls may still succeed."""

    code = "call_failed"


class CallInterrupted(CallFailed):
    """A call was given up because its stream stopped; asking again later is right, so the row stays open."""

    code = "interrupted"


class ModelLoadError(DistillError):
    code = "model_load"


class TrainingError(DistillError):
    code = "training"


class OutOfMemory(TrainingError):
    code = "out_of_memory"


class DiskFull(TrainingError):
    code = "disk_full"


class GeneratorDry(DistillError):
    """The generator used up its attempts without yielding what was asked for."""

    code = "generator_dry"
