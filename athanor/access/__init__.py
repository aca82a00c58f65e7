"""Access: which requests are for this service, who sends them, and what they may do.

It knows neither ASGI nor the engine; `web/gate.py` applies it to every request.
"""
