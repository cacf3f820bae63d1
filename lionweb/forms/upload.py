"""What every upload has: a file, and a limit that is checked before the body is read."""

from django import forms
from django.conf import settings
from django.http import HttpRequest

from distill.errors import PoolError


def file_field(accept: str) -> forms.FileField:
    return forms.FileField(
        max_length=255,
        allow_empty_file=True,  # the import itself says that it is empty, with what to do
        widget=forms.FileInput(attrs={"accept": accept}),
        error_messages={"required": "Choose a file.", "missing": "Choose a file."},
    )


def too_large(request: HttpRequest, advice: str) -> PoolError | None:
    """Told from the header alone, so that a file over the limit is refused unread."""
    size = request.headers.get("Content-Length") or "0"
    if not size.isdecimal() or int(size) <= settings.UPLOAD_MAX_BYTES:
        return None
    most = f"{settings.UPLOAD_MAX_BYTES:,} bytes, the most this installation accepts"
    return PoolError(f"The file is larger than {most}.", advice)
