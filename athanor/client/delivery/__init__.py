"""The delivery of reports: queue, outbox, spool, and the thread that sends them.

It knows bytes, files and HTTP; what a run offers to its script is in `client`.
"""
