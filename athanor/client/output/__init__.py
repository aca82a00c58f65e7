"""What a program prints, read as a terminal reads it: its lines, and the states of its bars.

Only text comes in and only lines and bars go out; what becomes of them belongs to the callers.
"""
