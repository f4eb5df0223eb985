"""Plots of what policies achieved."""
