"""Foreign protocols over HTTP, each under its own prefix."""
