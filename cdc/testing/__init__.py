"""Test material for plug-in authors: contract suites, in-memory source and sink, builders, waiting."""
