"""What a change did to the tests and checks that judge it.

`inspect` compares two versions of the changed files, without running anything. A finding is a warning for the
reviewer and is kept with the evidence; whether it stops the work is the project's policy.
"""

from apps.agents.tampering.change import Change, Finding, changes_of
from apps.agents.tampering.inspection import inspect, warnings_of

__all__ = ["Change", "Finding", "changes_of", "inspect", "warnings_of"]
