"""Who takes gradient steps in the benchmarks: one module a contender, each run in a process of its own."""
