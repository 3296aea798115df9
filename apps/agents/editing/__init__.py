"""Changing text files the way models ask for it: tolerant of small slips, never at the wrong place."""
