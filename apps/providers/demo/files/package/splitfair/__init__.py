"""Split shared expenses among friends and settle them with few transfers."""

from splitfair.errors import SplitfairError

__version__ = "0.1.0"

__all__ = [
    "SplitfairError",
]
