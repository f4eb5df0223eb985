"""Fixtures: a small agent on random transitions."""

from training_fixtures import make_engine, make_learner, toy_agent, trainer_of, transitions

__all__ = ["make_engine", "make_learner", "toy_agent", "trainer_of", "transitions"]
