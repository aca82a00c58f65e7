"""What Athanor is measured beside, and the readers that load it: programs of their own."""
