"""Keras networks for agents: builders, placeholders for a user's own, action scaling, export."""
