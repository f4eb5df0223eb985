"""Published settings by task, as data: a TOML file for each agent, and the code that reads them."""
