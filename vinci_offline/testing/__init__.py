"""Test suites that every agent and every dataset format must pass. Subclass them in your own tests."""
