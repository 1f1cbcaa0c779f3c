"""Run live: feeds, engine, deployment, drift, journal and recorder."""
