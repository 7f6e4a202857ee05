"""The stages of an stsflow run. A folder is a stage, a file is one idea; see CONTRIBUTING.md."""
