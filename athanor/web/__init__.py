"""HTTP: it only translates between requests and the engine."""
