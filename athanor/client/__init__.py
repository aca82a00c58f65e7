"""What runs on the producers' and the watchers' side of the wire, on httpx."""
