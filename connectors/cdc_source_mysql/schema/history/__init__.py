"""The definitions of the followed tables at the stream's position."""
