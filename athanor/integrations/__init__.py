"""Callbacks for training frameworks, each over `client`.

Each module imports its framework only when it is itself imported. Nothing else in the package
imports them.
"""
