"""Capacity that runs share: pools, and the limits across runs that are kept as pools are.

It must not know how a run decides, nor what it does with its slots.
"""
