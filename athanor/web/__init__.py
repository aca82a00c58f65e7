"""HTTP: requests in, responses and streams out, and the ASGI application and server around them.

It only translates between HTTP and the engine; it contains no rules and no SQL.
"""
