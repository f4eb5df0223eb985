"""Assess, validate and repair datasets."""
