"""An example: documents move to the next embedding model while they are read and written."""
