"""What stages hand on: small, frozen, JSON-safe. Large things stay on disk; a record carries their path and digest."""
