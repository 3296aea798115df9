#!/usr/bin/env python
"""Django's command line for Loom."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    if sys.argv[1:2] == ["loom"]:
        from apps.core.terminal import main as loom  # needs no Django, and is there at once

        sys.exit(loom(sys.argv[2:]))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loom_site.settings")
    gc.disable()  # what is imported stays: to look for garbage in it takes a sixth of the start
    import django
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        django.setup()
    except ImproperlyConfigured as error:
        sys.stderr.write(f"Loom is not configured right: {error}\n")
        sys.exit(2)
    gc.freeze()
    gc.enable()
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
