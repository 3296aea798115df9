"""Run splitfair as `python -m splitfair`."""

import sys

from splitfair.cli import main

sys.exit(main())
