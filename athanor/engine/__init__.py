"""The service as an object: `Athanor`, with its ring, flusher and maintenance tasks.

It joins the folders below and offers everything the protocol has; HTTP belongs in `web`.
"""
