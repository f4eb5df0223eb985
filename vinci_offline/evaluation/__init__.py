"""Judgement of policies: estimates of a policy's value from stored data, and their intervals."""
