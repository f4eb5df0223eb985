"""Policies: their contract, and the kinds that collect and evaluate take."""
