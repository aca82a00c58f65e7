"""The database: the only folder with SQL, for SQLite and PostgreSQL.

It loads, commits and reads events; it decides nothing (`domain` does) and broadcasts nothing.
"""
