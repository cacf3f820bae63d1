"""Where the JavaScript that comes inside Python packages lies, found without importing them."""

from importlib.util import find_spec
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def plotly_folder() -> Path:
    """The folder with plotly.min.js of the plotly package, whose import alone takes longer than a web process may."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise ImproperlyConfigured("The package plotly is not installed. Run ./lion again, or pip install plotly.")
    return Path(spec.origin).parent / "package_data"
