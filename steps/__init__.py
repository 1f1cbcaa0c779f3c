"""One file per MLproject entry point: read settings, call quantgod, log to MLflow."""
