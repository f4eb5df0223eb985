"""Policies: the contract, and the kinds that collect and evaluate know."""
