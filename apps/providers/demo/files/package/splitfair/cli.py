"""The command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from splitfair import __version__


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="splitfair",
        description="Split shared expenses among friends and settle them with few transfers.",
    )
    parser.add_argument("--version", action="version", version=f"splitfair {__version__}")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    parser = build_parser()
    parser.parse_args(argv)
    parser.print_help()
    return 0
