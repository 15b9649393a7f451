"""Planted bugs, one at a time in a copy of the tree, and whether the fault tests catch each."""
