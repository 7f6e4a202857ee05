"""stsflow: `stsflow.flows` and `stsflow.tasks` are the folders of those names at the top of the repository."""
