"""A reference to a model that is ready to call: exactly the one that was named, or an error.

>>> import herdbook.loader
>>> info = herdbook.loader.get_model_info("local:artifacts/model-v1")
>>> info["type"], info["available"]
('local', False)
"""

from herdbook.loader.creating import create_model_artifact
from herdbook.loader.finding import Found, find
from herdbook.loader.information import get_model_info, load_labels
from herdbook.loader.loading import Loaded, load, load_classifier

__all__ = [
    "Found",
    "Loaded",
    "create_model_artifact",
    "find",
    "get_model_info",
    "load",
    "load_classifier",
    "load_labels",
]
