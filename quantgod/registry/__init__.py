"""The chain that is served: made, registered, promoted."""
