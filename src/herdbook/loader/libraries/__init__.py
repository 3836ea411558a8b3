"""The libraries that run models, one file each: none is imported before a model needs it."""
