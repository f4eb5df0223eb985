"""Tables of one row a transition: CSV, JSON Lines, Parquet."""
