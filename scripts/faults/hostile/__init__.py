"""Hostile files by format; `hostile.frame` says how one is written."""
