"""A module for each part of the API and the pages; all of them together are the table.

Each has `ROWS`, a dict from the name of a route to its row, and may have `grow(tenancy)`, which adds things
to the world.
"""
