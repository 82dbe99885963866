"""The model: an encoder, a method, and the parts that the method names."""
