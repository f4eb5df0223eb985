"""Contract suites that any agent must pass: subclass them in your own tests."""
