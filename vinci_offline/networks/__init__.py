"""Keras networks of agents: builder, placeholders for user networks, action scaling, export."""
