"""Reading a recipe: YAML and overrides in, a validated RunConfig or one clear sentence out."""
