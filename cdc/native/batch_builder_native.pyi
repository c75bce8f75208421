# Only other compiled modules build batches with it; Python sees that the module is there.
