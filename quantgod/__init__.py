"""Raw exchange order books in, audited and deployable signals out."""

__version__ = "0.1.0"
