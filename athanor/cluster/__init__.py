"""What the processes on one PostgreSQL database tell each other, and how each reads the others'
events.

Nothing in here runs on SQLite; it broadcasts through `live` and never writes events.
"""
