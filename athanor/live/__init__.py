"""Live delivery inside one process: the hub, frames, inboxes, subscriptions, and what is known of
runs.

It reads through the store and never writes to it; other processes are the concern of `cluster`.
"""
