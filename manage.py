#!/usr/bin/env python
"""Django's command line for Loom."""

from __future__ import annotations

import argparse
import gc
import os
import sys


def main() -> None:
    if sys.argv[1:2] == ["loom"]:
        from apps.core.terminal import main as loom  # needs no Django, and is there at once

        sys.exit(loom(sys.argv[2:]))
    _default_options()
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


def _default_options() -> None:
    """Django's own --settings and --pythonpath: it reads them only once the settings have been read."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--settings")
    parser.add_argument("--pythonpath")
    given, _ = parser.parse_known_args(sys.argv[2:])
    if given.settings:
        os.environ["DJANGO_SETTINGS_MODULE"] = given.settings
    if given.pythonpath:
        sys.path.insert(0, given.pythonpath)


if __name__ == "__main__":
    main()
