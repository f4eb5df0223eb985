"""Toy environments for these tests."""

from toy_environments import pendulum_actor, toys

__all__ = ["pendulum_actor", "toys"]
