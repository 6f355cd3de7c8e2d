"""The file of an artifact: from an integer model to bytes, and from bytes to what they say. `bitwright.artifact` uses it."""
