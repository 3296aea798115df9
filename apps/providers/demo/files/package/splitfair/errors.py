"""The one base of all errors that are the user's to correct."""


class SplitfairError(Exception):
    """Something was refused; the message is one sentence for the user.

    Mistakes of a calling program are ordinary ValueErrors instead.
    """
