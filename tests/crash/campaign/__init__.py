"""The crash campaign: bead flows under attack, and what was lost or done twice; see docs/crash.md."""
