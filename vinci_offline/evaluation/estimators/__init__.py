"""Estimators of a policy's value."""
