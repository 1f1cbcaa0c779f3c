"""What stands before every route: who may call, how often, and from where."""
