"""Callbacks for training frameworks: each is a module of its own, and imports its framework."""
