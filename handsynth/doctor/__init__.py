"""Is a dataset right? Checks of labels against each other and against pixels, and what mistake explains a fault."""
