"""Where state is kept: ordered keys with revisions, in memory or in one SQLite file.

A store knows nothing of networks: its values are bytes. `records` turns model objects into such bytes and
back. Whether an object makes sense beside the others is not checked here; that is the engine's business.
"""
