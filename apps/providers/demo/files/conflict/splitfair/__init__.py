"""Split shared expenses among friends and settle them with few transfers."""

from splitfair.errors import SplitfairError
from splitfair.money import format_amount, parse_amount
from splitfair.shares import split_by_weight, split_equally

__version__ = "0.1.0"

__all__ = [
    "SplitfairError",
    "format_amount",
    "parse_amount",
    "split_by_weight",
    "split_equally",
]
