"""The producer's and the subscriber's side of the wire.

It sees only `protocol` and the root modules, never the service. Nothing in it may raise because
of the network.
"""
