"""The routes, a router a file; rules of models and deployments are those of `registry`."""
