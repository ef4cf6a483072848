"""measure: what a model costs and how well it predicts, with intervals; tables, plots and the report of both."""
