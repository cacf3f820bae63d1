"""Static files with hashed names; those from wheels may name source maps that they do not ship."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class Storage(CompressedManifestStaticFilesStorage):
    manifest_strict = False

    # Source maps named in vendored files are not shipped, so links in comments are left as they are.
    patterns = ()
