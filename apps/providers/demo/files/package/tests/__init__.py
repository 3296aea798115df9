"""Tests of splitfair; run them with `python -m unittest`."""
