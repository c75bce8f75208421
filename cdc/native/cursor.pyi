# Only other compiled modules use the cursor; Python sees that the module is there.
