"""The same verbs over HTTP, raising the same errors."""
