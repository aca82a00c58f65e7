"""The rules: which commands are allowed, and which events they produce.

Pure decisions over a loaded state; no I/O, no asyncio, and no knowledge of any database.
"""
