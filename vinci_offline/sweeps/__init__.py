"""Sweeps: agents x datasets x seeds x settings, declared once, trained in many processes, and compared."""
