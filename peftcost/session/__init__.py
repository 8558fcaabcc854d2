"""A session of a search, from its first look at the task to its report: what `search` and `resume` do."""
