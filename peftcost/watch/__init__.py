"""Looks on at a run from another process: its journal and its learning curves are all that is read."""
