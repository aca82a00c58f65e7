"""Measurements that back the design; each compares within one run."""
