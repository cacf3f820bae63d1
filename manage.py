#!/usr/bin/env python
import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import OperationalError

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lionweb.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as problem:  # an environment variable or the data folder; the sentence says which
        sys.stderr.write(f"{problem}\n")
        sys.exit(2)
    except OperationalError as problem:
        why = str(problem).splitlines()[0].rstrip(".")
        sys.stderr.write(f"The database does not answer: {why}. Start LionWeb with ./lion up, or mend DATABASE_URL.\n")
        sys.exit(2)
