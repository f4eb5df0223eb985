"""Parts of a repair: the damaged file, mended rows, repaired episodes, and the account."""
