"""The register over HTTP: a door like the command line, one file a noun under `api/`."""
