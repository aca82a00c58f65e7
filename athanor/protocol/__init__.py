"""The vocabulary of the wire: topics, cursors, events, records, and what producers may report.

Pure values, checks and encodings; no I/O, no asyncio, and no import from another folder.
"""
