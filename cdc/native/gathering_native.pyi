# Only other compiled modules gather rows with it; Python sees that the module is there.
